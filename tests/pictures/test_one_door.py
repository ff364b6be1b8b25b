"""Whatever is written goes through `write_file`, or stands here with the reason why it does not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITERS = {"write_text", "write_bytes", "save", "save_file", "savefig", "savez", "savez_compressed", "to_csv", "tofile"}
TRAINERS = ("plugins/fusionkit_tinyworld/", "plugins/fusionkit_vista/")
KNOWN = {
    "fusionkit/bench/measure.py: Path('/proc/self/clear_refs').write_text('5')": "a switch of the kernel's",
    "fusionkit/comparison/draw.py: folder.save(result.image, job, {**metadata_of(result), 'run': run})": "calls it",
    "fusionkit/comparison/page/thumbnails.py: small.save(data, 'WEBP', quality=80)": "into memory",
    "fusionkit/comparison/on_workers.py: folder.save(result.image, job, {**metadata_of(result), 'run': "
    "dict(drawn.run)})": "calls it",
    "fusionkit/comparison/written.py: open(self.folder / self._own, 'ab', buffering=0)": "a list that only grows",
    "fusionkit/evaluation/on_workers.py: copy.write_bytes(self.files[path])": "a worker's temporary folder",
    "fusionkit/pictures/deep_zoom.py: tile.save(folder / f'{column}_{row}.jpg', quality=_QUALITY)": "a temporary "
    "folder, which gets its name when it is whole",
    "fusionkit/starts/plugin.py: (whole / name).write_text(text, encoding='utf-8', newline='\\n')": "likewise",
    "fusionkit/studio/drawing.py: (self.folder.own / LOG).open('a', encoding='utf-8')": "a log that grows",
    "fusionkit/studio/folder.py: image.save(written, 'WEBP', quality=85)": "into memory",
    "fusionkit/evaluation/tools.py: np.save(file, found)": "what it is given to write into",
    "fusionkit/pictures/gallery.py: each.save(output_path(each.recipe.model_copy(update={'output': output}), number), "
    "overwrite=overwrite)": "a picture of a run, which calls it",
    "fusionkit/pictures/image.py: image.save(data, kind, quality=95, exif=exif, **told)": "into memory",
    "fusionkit/pictures/image.py: image.save(file, kind, pnginfo=info, compress_type=Z_RLE, **told)": "likewise",
    "fusionkit/runs/checkpoints/checkpoint.py: save(tensors, {KEY: json.dumps(told)})": "into memory",
    "plugins/fusionkit_syncdiffusion/lpips.py: save({name: value.clone().contiguous() for name, value in "
    "network.state_dict().items()})": "likewise",
    "fusionkit/testing/resuming.py: save(tensors)": "likewise",
    "fusionkit/testing/networks.py: save_file({name: tensor.detach().clone() for name, tensor in "
    "network.state_dict().items()}, path)": "a test's temporary folder",
    "fusionkit/testing/tiny_adapter.py: save_file(tensors, path)": "likewise",
    "fusionkit/testing/tiny.py: (folder / 'merges.txt').write_text('#version: 0.2\\n')": "likewise",
}


def writes(text: str) -> Iterator[str]:
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        method = isinstance(call.func, ast.Attribute)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        given = [*(call.args[:1] if method else call.args[1:2]), *(k.value for k in call.keywords if k.arg == "mode")]
        modes = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        opens = name in ("open", "fdopen") and any(set(mode) & set("wax+") and len(mode) <= 3 for mode in modes)
        if opens or name in WRITERS:
            yield ast.unparse(call)


def test_every_file_that_is_written() -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {call}"
        for folder in ("fusionkit", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        if not path.relative_to(ROOT).as_posix().startswith((*TRAINERS, "fusionkit/pictures/claiming.py"))
        for call in writes(path.read_text(encoding="utf-8"))
    }
    known = {line for line in found if "write_text(json.dumps({word: number" in line}  # the same temporary folder
    assert sorted(found - known - KNOWN.keys()) == []
    assert sorted(KNOWN.keys() - found) == []


@pytest.mark.parametrize(
    "line",
    ["open(path, 'w')", "path.open('xb')", "open(p, mode='a')", "path.write_bytes(b'')", "image.save(p)"],
)
def test_what_would_be_found(line: str) -> None:
    assert list(writes(line)) == [ast.unparse(ast.parse(line).body[0])]
    assert list(writes("open(path)\nopen(path, 'rb')\npath.open('rb')\npath.open()")) == []
