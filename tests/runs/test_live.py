"""The live preview: it changes nothing, its file is always whole, and what can't be shown is told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image
from torch.nn.functional import interpolate

from fusionkit import Fusion, LivePreview, Plugin, RecipeError, hookimpl
from fusionkit.pictures.image import save_image
from fusionkit.runs.live import is_preview
from fusionkit.testing import tiny_pipeline
from fusionkit_multidiffusion import MultiDiffusion

EACH: dict[str, Any] = {"share": 1}


def fusion(*plugins: Plugin, kind: Any = "sd") -> Fusion:
    options: dict[str, Any] = {"size": (192, 64), "steps": 4, "scheduler": "ddpm"}
    return Fusion.from_pipe(tiny_pipeline(kind), plugins=[MultiDiffusion(stride=32), *plugins], **options)


class Shown:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.pictures: list[tuple[Image.Image, int]] = []

    def __call__(self, image: Image.Image, stage: Any, at: Any) -> None:
        self.pictures.append((image, at.index))


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_it_changes_nothing(kind: Any) -> None:
    shown = Shown()
    plain = fusion(kind=kind)("a hill", progress=False)
    watched = fusion(kind=kind)("a hill", progress=False, preview=LivePreview(to=shown, **EACH))
    assert watched.latents.equal(plain.latents)
    assert watched.image.tobytes() == plain.image.tobytes()
    assert [index for _, index in shown.pictures] == [0, 1, 2, 3]
    assert watched.recipe.to_yaml() == plain.recipe.to_yaml()


def test_it_shows_the_clean_estimate_reduced_and_decoded() -> None:
    whole, small, estimates, reduced = Shown(), Shown(), Shown(), Shown()

    class Estimates(Plugin):
        @hookimpl
        def step_done(self, stage: Any, at: Any, fused: Any) -> None:
            estimates(stage.model.decode(fused.denoised), stage, at)
            reduced(stage.model.decode(interpolate(fused.denoised, size=(3, 10), mode="area")), stage, at)

    fusion(Estimates())("a hill", progress=False, preview=LivePreview(to=whole, **EACH))
    assert [each.tobytes() for each, _ in whole.pictures] == [each.tobytes() for each, _ in estimates.pictures]
    fusion()("a hill", progress=False, preview=LivePreview(to=small, size=48, every=2, **EACH))
    assert [(each.size, index) for each, index in small.pictures] == [((80, 24), 1), ((80, 24), 3)]
    assert [each.tobytes() for each, _ in small.pictures] == [each.tobytes() for each, _ in reduced.pictures[1::2]]


def test_a_file_is_replaced_and_says_that_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "live.png"
    seen: list[bytes] = []

    def look(*_: Any) -> None:
        """Of the step before: whoever is told of a step before the preview is."""
        if path.exists():
            seen.append(path.read_bytes())
            Image.open(path).load()

    for _ in range(2):
        fusion()("a hill", progress=False, preview=LivePreview(to=path, **EACH), callback=look)
    assert len(set(seen)) == 4
    assert is_preview(path)
    assert [each.name for each in tmp_path.iterdir()] == ["live.png"]
    fusion().many(["a hill", "a house"], progress=False, preview=str(path), preview_every=4)
    assert path.read_bytes() not in seen


def test_a_file_that_is_no_preview_is_kept(tmp_path: Path) -> None:
    path = save_image(Image.new("RGB", (8, 8)), tmp_path / "mine.png", {})
    before = path.read_bytes()
    with pytest.raises(RecipeError) as error:
        fusion()("a hill", progress=False, preview=path)
    assert str(error.value) == (
        f"live-preview: '{path}' is there already, and is no preview; give another name, or allow that it is "
        "overwritten"
    )
    assert path.read_bytes() == before
    assert not is_preview(tmp_path / "none.png")
    fusion()("a hill", progress=False, preview=LivePreview(to=path, overwrite=True))
    assert is_preview(path)


@pytest.mark.parametrize(
    ("preview", "every", "says"),
    [
        ("live.txt", None, "live-preview: 'live.txt': a picture's name ends in .png"),
        (True, None, "a preview without a file is shown in a notebook, and this is none; name one: 'live.png'"),
        ("live.png", 0, "'preview_every' must be at least 1, not "),
        (print, 0, "'preview_every' must be at least 1, not "),
        (print, "often", "'preview_every' must be a whole number, not 'often'"),
        (None, -1, "'preview_every' must be at least 1, not "),
        (print, None, "a preview's function is called every 'preview_every' steps; give it, too"),
        (3, None, "preview is a file's name, True in a notebook, a LivePreview, or a function"),
        (LivePreview(to=len), 2, "preview_every is for pictures and files; give LivePreview its own 'every'"),
    ],
)
def test_what_makes_no_sense_is_told(preview: Any, every: int | None, says: str) -> None:
    with pytest.raises(RecipeError) as error:
        fusion().run(progress=False, preview=preview, preview_every=every)
    assert str(error.value).startswith(says)


def test_what_costs_too_much_is_left_out() -> None:
    """The last one of a stage is shown, however long the others take."""
    shown = Shown()

    def slow(*given: Any) -> None:
        import time

        shown(*given)
        time.sleep(0.2)

    fusion()("a hill", progress=False, preview=LivePreview(to=slow, share=0.001))
    assert [index for _, index in shown.pictures] == [0, 3]


def test_what_can_not_be_shown_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, told = tmp_path / "gone", list[str]()
    folder.mkdir()

    def block(*_: Any) -> None:
        if folder.is_dir():
            for each in folder.iterdir():
                each.unlink()
            folder.rmdir()
            folder.write_text("a file in its place")

    preview = LivePreview(to=folder / "live.png", told=told.append, **EACH)
    assert fusion()("a hill", progress=False, preview=preview, callback=block).image.size == (192, 64)
    assert told == [f"no preview: '{folder / 'live.png'}' can't be written: '{folder}' is a file, not a folder"]


def test_a_notebook_shows_it_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """By IPython's own two functions, of which this stands for the notebook's side."""
    events: list[tuple[str, Any]] = []

    class Handle:
        def update(self, picture: Any) -> None:
            events.append(("update", picture.size))

    def display(picture: Any, display_id: bool) -> Handle:
        assert display_id
        events.append(("display", picture.size))
        return Handle()

    notebook, side = ModuleType("IPython"), ModuleType("IPython.display")
    notebook.get_ipython = object  # type: ignore[attr-defined]
    side.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", side)
    fusion()("a hill", progress=False, preview=LivePreview(**EACH))
    assert events == [("display", (192, 64)), *[("update", (192, 64))] * 3]
    fusion()("a hill", progress=False, preview=True)
    assert events[4] == ("display", (192, 64))
