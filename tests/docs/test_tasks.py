"""The pages that say "I want to ...": their commands run, and what they say of the saved pictures holds, in small."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from docs_pages import DOCS, ROOT, prose
from PIL import Image, ImageFilter
from ruamel.yaml import YAML
from test_docs_pages import TASKS, check_page
from torch import from_numpy

from fusionkit import Fusion
from fusionkit.pictures.image import read_metadata

LAKE = ROOT / "recipes" / "lake.png"


def pixels(path: Path, mode: str = "RGB") -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode), float)


def assert_closed(path: Path, axis: int) -> None:
    """The saved picture's edges differ no more than neighbouring rows or columns elsewhere."""
    grey = np.moveaxis(pixels(path, "L"), axis, 0)
    assert np.abs(grey[0] - grey[-1]).mean() <= np.abs(np.diff(grey, axis=0)).mean(axis=1).max()


def assert_kept(path: Path, box: tuple[int, int, int, int], softness: int, pixels_kept: int) -> None:
    """Pixels beyond a box and its border are those of the lake, bit for bit, and within the box most are not."""
    drawn, before = pixels(path), pixels(LAKE)
    left, top, width, height = box
    y, x = np.mgrid[: before.shape[0], : before.shape[1]]
    across = np.maximum(np.maximum(left - x, x - (left + width - 1)), 0)
    down = np.maximum(np.maximum(top - y, y - (top + height - 1)), 0)
    away = np.hypot(across, down)
    differs = (drawn != before).any(axis=2)
    assert (away >= softness + 1).sum() == pixels_kept  # as the page says
    assert not differs[away >= softness + 1].any()
    assert differs[away == 0].mean() > 0.9


def told_panorama(path: Path) -> bool:
    with Image.open(path) as image:
        return 'GPano:ProjectionType="equirectangular"' in str(image.info.get("XML:com.adobe.xmp"))


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def wide(folder: Path) -> None:
    assert_closed(folder / "turn.png", 1)
    assert told_panorama(folder / "turn.png")
    around = folder / "out" / "all-around-vista-3.png"
    assert size(around) == (512, 256)
    assert_closed(around, 1)
    assert told_panorama(around)
    for texture in ("clouds.png", "forest.png"):
        assert_closed(folder / texture, 0)
        assert_closed(folder / texture, 1)
        assert not told_panorama(folder / texture)


def change(folder: Path) -> None:
    assert_kept(folder / "sky.png", (0, 0, 512, 36), 24, 34_816)
    assert_kept(folder / "empty.png", (196, 36, 88, 92), 12, 53_942)
    assert size(folder / "drawn.png") == size(LAKE)
    liked, larger = folder / "liked.png", folder / "larger.png"
    assert size(larger) == (2 * size(liked)[0], 2 * size(liked)[1])
    assert likeness(liked, larger) > 0.6


def likeness(liked: Path, larger: Path) -> float:
    """SSIM of a picture and a larger one, averaged down to its size."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    with Image.open(larger) as image:
        reduced = np.asarray(image.convert("RGB").resize(size(liked), Image.Resampling.BOX), np.float32)
    both = (from_numpy(each.astype(np.float32)).permute(2, 0, 1)[None] for each in (pixels(liked), reduced))
    return float(ssim(*both, data_range=255.0))


def models(folder: Path) -> None:
    assert (folder / "out" / "fine-grained-fusion-vista-12.png").exists()
    recipe = Fusion.from_recipe(folder / "styled.png").recipe
    plain = Fusion.from_recipe(recipe.model_copy(update={"loras": ()})).run(progress=False).image
    assert np.abs(pixels(folder / "styled.png") - np.asarray(plain, float)).mean() > 5  # what the LoRA has learned


def many(folder: Path) -> None:
    texts = (read_metadata(folder / name / "once-vista-1.png")["recipe"] for name in ("picked", "sketches"))
    picked, sketch = (YAML(typ="safe").load(text) for text in texts)
    assert (picked["seed"], picked["steps"], sketch["seed"], sketch["steps"]) == (1, 2, 1, 1)
    assert (folder / "sketches" / "once-vista-sheet.png").exists()
    assert size(folder / "print.png") == (256, 256)


def own_photos(folder: Path) -> None:
    """Three photographs and two worse copies, as the page has them, in the folder that its commands name."""
    photos = {name: Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "coffee", "rocket")}
    noise = np.random.default_rng(0).normal(0, 12, (*photos["rocket"].size[::-1], 3))
    noisy = (np.asarray(photos["rocket"]) + noise).round().clip(0, 255).astype(np.uint8)
    photos["coffee-shaken"] = photos["coffee"].filter(ImageFilter.GaussianBlur(2))
    photos["rocket-dark"] = Image.fromarray(noisy)
    (folder / "photos").mkdir()
    for name, photo in photos.items():
        photo.save(folder / "photos" / f"{name}.jpg", quality=95)


def judge(folder: Path) -> None:
    with (folder / "judged.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["picture"]]
    blur, noise = (
        {row["picture"]: float(row["value"]) for row in rows if row["metric"] == name} for name in ("blur", "noise")
    )
    assert max(blur, key=blur.__getitem__) == "coffee-shaken.jpg"
    assert max(noise, key=noise.__getitem__) == "rocket-dark.jpg"
    # None is larger than what the command reduces them to, so that the page's first table has the same values.
    text = (DOCS / "tasks" / "judge.md").read_text(encoding="utf-8")
    shown = [line.split() for line in text.partition("picture            blur    noise\n")[2].splitlines()[:5]]
    assert [name for name, *_ in shown] == sorted(blur, key=blur.__getitem__)
    for name, *values in shown:
        assert [float(value) for value in values] == pytest.approx([blur[name], noise[name]], rel=0.02)


BEFORE: Mapping[str, Callable[[Path], None]] = {"judge": own_photos}
"""What a page's reader has before its first command."""
HOLDS: Mapping[str, Callable[[Path], None]] = {
    "wide": wide,
    "change": change,
    "models": models,
    "many": many,
    "judge": judge,
}


@pytest.mark.parametrize("page", TASKS, ids=lambda page: page.stem)
def test_what_a_page_says_of_the_pictures_of_its_commands_holds(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BEFORE.get(page.stem, lambda _: None)(tmp_path)
    check_page(page, tmp_path, monkeypatch)
    HOLDS[page.stem](tmp_path)


def test_each_wish_has_one_command_of_its_page_and_a_word_on_when_not() -> None:
    for page in TASKS:
        for wish in page.read_text(encoding="utf-8").split("\n## ")[1:]:
            title = wish.partition("\n")[0]
            assert "```bash\nfusionkit " in wish, title
            assert "Not what you want" in wish, title
            assert f"tasks/{page.name}#" in prose(DOCS / "tasks.md")


def test_the_first_page_has_the_commands_of_the_others() -> None:
    rows = re.findall(r"\(tasks/(\w+)\.md#[\w-]+\) \| `(.+)` \|", (DOCS / "tasks.md").read_text(encoding="utf-8"))
    assert len(rows) > 20
    for name, command in rows:
        page = (DOCS / "tasks" / f"{name}.md").read_text(encoding="utf-8").replace("\\\n", " ")
        assert command in re.sub(r" +", " ", page), command
