"""What a run will make of its prompts, told before the model loads: chunks and weights. Imports no torch itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, ModelError
from fusionkit.models.families import family_of_pipeline
from fusionkit.models.files.hub import cached_file
from fusionkit.models.files.reading import read_json
from fusionkit.models.files.tokens import reading_text
from fusionkit.models.inspect import locate
from fusionkit.models.prompts.tokens import Frame, chunks_of, frame_of
from fusionkit.models.silence import quiet_loading
from fusionkit.recipe.prompt_syntax import parse, weighted_parts

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import ModelSpec, Recipe


@dataclass(frozen=True)
class PromptReader:
    """A model's (first) tokenizer, and how it frames a chunk."""

    tokenizer: Any
    frame: Frame

    def told(self, prompt: str) -> str:
        """A prompt's chunks, where there are several, and its weights; empty where there is nothing to tell.

        Raises:
            ModelError: The prompt is too long.
        """
        chunks = chunks_of(prompt, self.tokenizer, self.frame)
        parts = []
        if len(chunks) > 1:
            tokens = sum(len(chunk) for chunk in chunks)
            parts.append(f"{tokens:,} tokens, encoded in {len(chunks)} chunks of at most {self.frame.room}")
        return "; ".join([*parts, *_weights(prompt)])

    def problem(self, prompt: str) -> str:
        """Why a prompt can't be encoded; empty where it can."""
        try:
            self.told(prompt)
        except ModelError as error:
            return str(error)
        return ""


@dataclass(frozen=True)
class WholeReader:
    """A model's tokenizer, where a prompt is encoded as a whole, and how many tokens of it are read at most."""

    tokenizer: Any
    most: int

    def told(self, prompt: str) -> str:
        """What of a prompt is left out: its end, and its weights; empty where there is nothing to tell."""
        tokens = len(self.tokenizer(parse(prompt).text, add_special_tokens=False, verbose=False).input_ids)
        parts = [f"{tokens:,} tokens, of which the first {self.most:,} are read"] if tokens > self.most else []
        return "; ".join([*parts, *(f"{line}: left out, as such models know none" for line in _weights(prompt))])

    def problem(self, prompt: str) -> str:
        """Nothing: what is too long loses its end."""
        return ""


def prompt_lines(recipe: Recipe, prompts: Sequence[str]) -> list[tuple[str, str]]:
    """What there is to tell of a run's prompts, as pairs of a name and a line; nothing of most."""
    reader = reader_of(next(iter(recipe.specs.values()))) if recipe.specs else None
    named = [(f"prompt {number}" if len(prompts) > 1 else "prompt", text) for number, text in enumerate(prompts, 1)]
    lines = []
    for name, text in [*named, ("negative", recipe.negative_prompt)]:
        line = "; ".join(_weights(text)) if reader is None else reader.told(text)
        if line:
            lines.append((name, line))
    return lines


def length_problems(recipe: Recipe) -> list[str]:
    """Prompts that are too long for one of the models to encode, one line each."""
    problems = []
    for spec in recipe.specs.values():
        # Below, no tokenizer has to be asked: a token is at least a byte.
        texts = [text for text in (recipe.prompt, recipe.negative_prompt) if len(text.encode()) > 400]
        reader = reader_of(spec) if texts else None
        for text in texts:
            if reader is not None and (line := reader.problem(text)):
                problems.append(line)
    return problems


def reader_of(spec: ModelSpec) -> PromptReader | WholeReader | None:
    """A model's (first) tokenizer; None where its files are not on this machine, or can't be read."""
    try:
        folder = _folder(spec)
        if folder is None:
            return None
        index = read_json(folder / "model_index.json", spec.model)
        family = family_of_pipeline(index["_class_name"])
        part, most = next(iter(family.reads.items()), ("tokenizer", 0)) if family is not None else ("tokenizer", 0)
        own = family.brings.get(".".join(index[part]), "") if family is not None else ""
        if not own and index[part][0] != "transformers":
            return None
        module, _, name = (own or ":".join(index[part])).partition(":")
        with quiet_loading():
            cls = getattr(import_module(module), name)
        tokenizer = cls.from_pretrained(folder / part, local_files_only=True)
        if most:
            return WholeReader(reading_text(tokenizer), most)
        config = read_json(folder / "text_encoder" / "config.json", spec.model)
        positions = config.get("max_position_embeddings")
        return PromptReader(tokenizer, frame_of(tokenizer, positions if isinstance(positions, int) else None))
    except Exception:  # noqa: BLE001 - what is wrong with a model's files is said where the model is looked at
        return None


def _folder(spec: ModelSpec) -> Path | None:
    try:
        where = locate(spec.base or spec.model)
    except FusionError:
        return None
    if isinstance(where, str):
        config = cached_file(where, "tokenizer/tokenizer_config.json", spec.revision)
        return None if config is None else config.parents[1]
    return where if where.is_dir() else None


def _weights(prompt: str) -> list[str]:
    parts = [f"'{text}' {weight:g}" for text, weight in weighted_parts(prompt)]
    more = f" and {len(parts) - 5} more" if len(parts) > 5 else ""
    return [f"weights: {', '.join(parts[:5])}{more}"] if parts else []
