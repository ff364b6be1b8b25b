"""Tokenizers by their files: whether they are there, and whether they are those of their text encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fusionkit.errors import ModelError
from fusionkit.models.files.configs import TextEncoder
from fusionkit.models.files.reading import TABLE_LIMIT, read_json, size_of
from fusionkit.recipe.problems import shown

# Of each kind of tokenizer, what it can be read from: any one of these sets of files.
_FILES = {
    "CLIPTokenizer": (("vocab.json", "merges.txt"), ("tokenizer.json",)),
    "BertTokenizer": (("vocab.txt",), ("tokenizer.json",)),
    "T5Tokenizer": (("spiece.model",), ("tokenizer.json",)),
    "XLMRobertaTokenizer": (("sentencepiece.bpe.model",), ("tokenizer.json",)),
}
_OTHERS = (
    ("tokenizer.json",),
    *_FILES["CLIPTokenizer"],
    ("vocab.txt",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("tokenizer.model",),
)
_LEAST = 0.9
# Tokens of a byte-pair vocabulary that no merge makes: 256 bytes, also as the ends of words, start and end.
_LETTERS = 514


def tokenizer_problems(
    folder: Path, kind: str, encoder: TextEncoder, what: str, *, filled: bool = True
) -> Iterator[str]:
    """Why a tokenizer would make unknown words of a prompt, each as a line that reads on from the model's name.

    Without its files a tokenizer of transformers is built all the same, and knows no word.

    Args:
        folder: The tokenizer's folder.
        kind: Its class.
        encoder: The text encoder that gets its tokens.
        what: Whose it is, as errors begin: "model 'name'".
        filled: Whether prompts are filled up to the length that the tokenizer tells.

    Raises:
        ModelError: A file can't be read.
    """
    choices = _FILES.get(kind.removesuffix("Fast"), _OTHERS)
    complete = next((names for names in choices if all((folder / name).exists() for name in names)), None)
    if complete is None and not folder.is_dir():
        yield f"can't read a prompt: it has no folder {folder.name}"
        return
    if complete is None:
        wanted = " or ".join(dict.fromkeys(" and ".join(names) for names in choices))
        yield f"can't read a prompt: its {folder.name} needs {wanted}, and they are not there"
        return
    for name in complete:
        if size_of(folder / name, what) > TABLE_LIMIT:
            yield f"has a {folder.name}/{name} of over {TABLE_LIMIT:,} bytes, the most that are read"
            return
    if filled and (problem := _length_problem(folder, encoder, what)):
        yield problem
    count, last = _vocabulary(folder, complete, what)
    rows = encoder.vocab_size
    if count is None or rows is None:
        return
    if last >= rows:
        yield (
            f"has a {folder.name} that is not its text encoder's: its tokens go up to {last:,}, and the encoder knows "
            f"{rows:,}"
        )
    elif count < _LEAST * rows:
        yield f"has a {folder.name} that is not its text encoder's: it knows {count:,} tokens, and the encoder {rows:,}"
    elif complete[0] == "vocab.json" and (problem := _merges_problem(folder, count, what)):
        yield f"has a {folder.name} that makes other tokens than its text encoder knows: {problem}; get its files again"


def _length_problem(folder: Path, encoder: TextEncoder, what: str) -> str:
    """Why a prompt would have more tokens than its encoder has places for: prompts are filled up to the most."""
    path = folder / "tokenizer_config.json"
    length = read_json(path, what, TABLE_LIMIT).get("model_max_length") if path.exists() else None
    most = encoder.max_position_embeddings
    if isinstance(length, (int, float)) and not isinstance(length, bool) and 2 <= length <= most:
        return ""
    if not path.exists():
        whose = f"its {folder.name} has no {path.name}"
        return f"can't read a prompt: {whose}, which tells how long one may be and what fills it up; get that file too"
    told = "is silent" if length is None else f"is {shown(length)}"
    return f"can't read a prompt: model_max_length of its {folder.name}/{path.name} {told}; it must be 2 to {most:,}"


def _merges_problem(folder: Path, count: int, what: str) -> str:
    """Why words would fall into letters, which no error tells: merges that are missing, or not the vocabulary's."""
    tokens = read_json(folder / "vocab.json", what, TABLE_LIMIT)
    lines = (folder / "merges.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.split(" ") for line in lines if line.strip() and not line.startswith("#version")]
    wanted = count - _LETTERS
    if len(pairs) < _LEAST * wanted:
        return f"merges.txt has {len(pairs):,} merges, and the vocabulary needs {wanted:,}"
    strange = next((pair for pair in pairs if len(pair) == 2 and "".join(pair) not in tokens), None)
    return f"merges.txt makes '{''.join(strange):.40}', which vocab.json does not have" if strange else ""


def _vocabulary(folder: Path, names: tuple[str, ...], what: str) -> tuple[int | None, int]:
    """How many tokens a tokenizer's files tell, and the highest; None where they do not tell."""
    place = f"{what}: {folder.name}/{names[0]}"
    if names[0] == "vocab.json":
        tokens = read_json(folder / names[0], what, TABLE_LIMIT)
    elif names[0] == "tokenizer.json":
        tokens = _of_fast(read_json(folder / names[0], what, TABLE_LIMIT))
    elif names[0] == "vocab.txt":
        count = sum(1 for line in (folder / names[0]).read_bytes().splitlines() if line.strip())
        return count, count - 1
    else:
        return None, 0
    tokens = {**tokens, **_added(folder, what)}
    numbers = [number for number in tokens.values() if isinstance(number, int) and not isinstance(number, bool)]
    if len(numbers) != len(tokens) or min(numbers, default=0) < 0:
        raise ModelError(f"{place} is no vocabulary: its tokens must have whole numbers")
    return len(set(numbers)), max(numbers, default=0)


def _added(folder: Path, what: str) -> dict[str, Any]:
    """Tokens that were added later, which some files tell here alone, by their texts."""
    tokens: dict[str, Any] = {}
    added, settings = folder / "added_tokens.json", folder / "tokenizer_config.json"
    if added.exists():
        tokens |= read_json(added, what, TABLE_LIMIT)
    listed = read_json(settings, what, TABLE_LIMIT).get("added_tokens_decoder") if settings.exists() else None
    for number, entry in listed.items() if isinstance(listed, dict) else ():
        if number.isdecimal() and isinstance(entry, dict) and isinstance(entry.get("content"), str):
            tokens[entry["content"]] = int(number[:12])
    return tokens


def _of_fast(content: dict[str, Any]) -> dict[str, Any]:
    """The tokens of a `tokenizer.json`, by their texts."""
    model = content.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):
        return {str(number): number for number in range(len(vocabulary))}
    added = content.get("added_tokens")
    entries = [each for each in added if isinstance(each, dict)] if isinstance(added, list) else []
    found = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    return found | {str(each.get("content")): each.get("id") for each in entries}


def reading_text(tokenizer: Any) -> Any:
    """A tokenizer; of a processor, which reads pictures as well, the one inside."""
    inner = getattr(tokenizer, "tokenizer", None)
    return inner if hasattr(inner, "convert_ids_to_tokens") else tokenizer


def check_tokenizers(pipe: Any, encoders: Mapping[str, TextEncoder], what: str) -> None:
    """Check that each loaded tokenizer's tokens are its text encoder's, and that it knows letters.

    Args:
        pipe: The pipeline.
        encoders: The text encoders' configurations, by the names of their parts.
        what: Whose they are, as errors begin: "model 'name'".

    Raises:
        ModelError: One makes other tokens.
    """
    for part in encoders:
        name = part.replace("text_encoder", "tokenizer")
        tokenizer, rows = getattr(pipe, name), getattr(pipe, part).get_input_embeddings().num_embeddings
        tokenizer = reading_text(tokenizer)
        tokens = {text: tokenizer(text, add_special_tokens=False).input_ids for text in ("a", "o", "the sea")}
        highest = max([len(tokenizer) - 1, *(token for each in tokens.values() for token in each)])
        if highest >= rows:
            raise ModelError(
                f"{what} has a {name} that is not its text encoder's: its tokens go up to {highest:,}, and the encoder "
                f"knows {rows:,}"
            )
        if tokens["a"] == tokens["o"]:
            raise ModelError(f"{what} has a {name} that knows no letters; get its files again")
