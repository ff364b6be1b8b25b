"""Super-resolution networks: what is refused before a run, and that tiles, bands and sizes are those of the whole."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops
from PIL.Image import Resampling
from safetensors.torch import load_file, save_file
from tiny_networks import compact, grey, span

from fusionkit import ModelError
from fusionkit.models import enlarging, networks
from fusionkit.models.enlarging import enlarged_by
from fusionkit.models.files.weights import read_header
from fusionkit.models.networks import Network, applied, check_network, load_network, network_problems
from fusionkit.testing import tiny_plan
from fusionkit.trust import named_by_a_picture


def photo(size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 255, (9, 7, 3)).astype(np.uint8)
    return Image.fromarray(pixels).resize(size, Resampling.BICUBIC)


def at_once(path: Path, picture: Image.Image) -> Image.Image:
    """The picture as the network makes it where it sees all of it."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    large = applied(load_network(path), pixels)[0]
    return Image.fromarray((large * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def difference(one: Image.Image, other: Image.Image) -> int:
    assert one.size == other.size
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enlarging, "TILE", 64)


@pytest.mark.parametrize(
    ("make", "scale", "size"),
    [(compact, 2, (150, 100)), (compact, 2, (50, 131)), (compact, 3, (30, 20)), (span, 4, (70, 50))],
)
@pytest.mark.usefixtures("small_tiles")
def test_tiles_make_what_the_whole_makes(tmp_path: Path, make: Any, scale: int, size: tuple[int, int]) -> None:
    path, picture = make(tmp_path / "net.safetensors", scale), photo(size)
    assert load_network(path).scale == scale
    found = enlarged_by(path, picture, (size[0] * scale, size[1] * scale))
    expected = at_once(path, picture)
    assert difference(found, picture.resize(expected.size, Resampling.NEAREST)) > 5, "the network does something"
    # Libraries add up tiles of different sizes in another order: a value on the edge of two levels may be either.
    assert difference(found, expected) <= 1
    state = torch.get_rng_state()
    enlarged_by(path, picture, (2 * size[0], 2 * size[1]))
    assert torch.get_rng_state().equal(state)


@pytest.mark.usefixtures("small_tiles")
def test_another_size_is_by_lanczos_of_the_whole(tmp_path: Path) -> None:
    path, picture = compact(tmp_path / "net.safetensors", 4), photo((100, 70))
    expected = at_once(path, picture).resize((250, 175), Resampling.LANCZOS)
    assert difference(enlarged_by(path, picture, (250, 175)), expected) <= 1
    assert difference(enlarged_by(path, picture, (500, 350)), at_once(path, picture).resize((500, 350), 1)) <= 1


@pytest.mark.parametrize(("side", "times"), [(2, 1), (3, 2), (4, 2), (5, 2), (8, 3)])
def test_it_is_applied_as_often_as_the_size_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, times: int
) -> None:
    asked: list[tuple[int, int]] = []

    def note(network: Any, pixels: Any) -> Any:
        asked.append(tuple(pixels.shape[-2:]))
        return applied(network, pixels)

    monkeypatch.setattr(enlarging, "applied", note)
    found = enlarged_by(compact(tmp_path / "net.safetensors"), photo((24, 16)), (24 * side, 16 * side))
    assert found.size == (24 * side, 16 * side)
    assert asked == [(16 * 2**number, 24 * 2**number) for number in range(times)]


def test_another_shape_is_cropped_around_the_centre(tmp_path: Path) -> None:
    path, picture = compact(tmp_path / "net.safetensors"), photo((120, 40))
    middle = at_once(path, picture).crop((80, 0, 160, 80))
    assert difference(enlarged_by(path, picture, (80, 80)), middle) <= 1


@pytest.mark.usefixtures("small_tiles")
def test_edges_that_meet_meet_in_what_is_enlarged(tmp_path: Path) -> None:
    path, picture = compact(tmp_path / "net.safetensors"), photo((70, 40))
    for axis, moved in (("x", (31, 0)), ("y", (0, 17))):
        large = enlarged_by(path, picture, (140, 80), wrap=axis)  # type: ignore[arg-type]
        shifted = enlarged_by(path, ImageChops.offset(picture, *moved), (140, 80), wrap=axis)  # type: ignore[arg-type]
        assert difference(shifted, ImageChops.offset(large, 2 * moved[0], 2 * moved[1])) <= 1
        assert difference(large, enlarged_by(path, picture, (140, 80))) > 3


def test_a_tile_fades_into_the_next_where_the_network_looks_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that makes each tile its own grey: no step between neighbours is larger than the fading's."""
    greys = iter(np.linspace(0.2, 0.8, 6))

    def one_grey(network: Any, pixels: Any) -> Any:
        return torch.full((1, 3, *(2 * side for side in pixels.shape[-2:])), float(next(greys)))

    monkeypatch.setattr(enlarging, "TILE", 64)
    monkeypatch.setattr(enlarging, "applied", one_grey)
    found = np.asarray(enlarged_by(compact(tmp_path / "net.safetensors"), photo((96, 80)), (192, 160)), int)
    assert next(greys, None) is None, "three tiles in each of two rows"
    assert np.abs(np.diff(found, axis=0)).max() <= 4
    assert np.abs(np.diff(found, axis=1)).max() <= 4
    assert found[0, 0, 0] == round(0.2 * 255)


def test_tiles_are_counted_where_progress_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionkit.runs.observers import Watched

    monkeypatch.setattr(enlarging, "TILE", 64)
    made: list[Any] = []

    class Bar:
        def __init__(self, total: int, **options: Any) -> None:
            self.total, self.done, self.closed = total, 0, False
            made.append(self)

        def update(self) -> None:
            self.done += 1

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr("fusionkit.runs.bars.progress_bar", Bar)
    path = compact(tmp_path / "net.safetensors")
    for progress, bars in ((True, [(1, 0, True), (6, 6, True)]), (False, [])):
        with Watched(progress=progress).shown(1):
            enlarged_by(path, photo((96, 80)), (192, 160))
        assert [(bar.total, bar.done, bar.closed) for bar in made] == bars
        made.clear()
    enlarged_by(path, photo((96, 80)), (192, 160))
    assert made == []


def test_half_precision_files_compute_in_float32(tmp_path: Path) -> None:
    whole = compact(tmp_path / "net.safetensors")
    save_file({name: each.half() for name, each in load_file(whole).items()}, tmp_path / "half.safetensors")
    found = enlarged_by(tmp_path / "half.safetensors", photo((20, 20)), (40, 40))
    assert difference(found, enlarged_by(whole, photo((20, 20)), (40, 40))) <= 1


def broken(folder: Path, kind: str) -> Path:
    path = folder / "net.safetensors"
    if kind == "pickled":
        path = path.with_suffix(".pth")
        torch.save({}, path)
    elif kind == "text":
        path = path.with_suffix(".txt")
        path.write_text("a network")
    elif kind == "short":
        path.write_bytes(compact(path).read_bytes()[:-8])
    elif kind == "folder":
        path.mkdir()
    elif kind == "no network":
        save_file({"some.weight": torch.zeros(3)}, path)
    elif kind == "restores":
        compact(path, scale=1)
    elif kind == "grey":
        grey(path)
    elif kind == "deep":
        compact(path, **{"body.999999.weight": torch.zeros(1)})
    elif kind == "other shapes":
        compact(path, **{"body.2.weight": torch.zeros(5, 4, 3, 3)})
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "does not exist"),
        ("pickled", "is pickled, which can run any code and is refused; convert it to .safetensors"),
        ("text", "is no .safetensors file"),
        ("short", "net.safetensors is 8 bytes too short: it was not downloaded or copied whole; get it again"),
        ("folder", "net.safetensors is a folder, not a file"),
        ("no network", "is of no architecture that spandrel"),
        ("restores", "is of the architecture RealESRGAN Compact, and enlarges no pictures"),
        ("grey", "takes 1 and makes 1 colours of a pixel, and not 3"),
        ("deep", "numbers a layer beyond 4,096, and so is no super-resolution network"),
        ("other shapes", "can't be used by spandrel: "),
    ],
)
def test_what_can_be_no_network_is_refused_in_one_line(tmp_path: Path, kind: str, says: str) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(ModelError) as error:
        load_network(path)
    assert says in str(error.value)
    assert str(error.value).startswith(f"network '{path}'")
    assert "\n" not in str(error.value)


def test_weights_that_are_not_numbers_are_told_where_they_are_used(tmp_path: Path) -> None:
    path = compact(tmp_path / "net.safetensors", **{"body.0.bias": torch.full((4,), float("nan"))})
    with pytest.raises(ModelError, match=r"makes numbers that are not finite \(NaN or infinity\); get its file again"):
        enlarged_by(path, photo((20, 20)), (40, 40))


def test_a_file_is_read_once_for_all_checks_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def header(path: Path, what: str) -> Any:
        read.append(path)
        return read_header(path, what)

    def load(path: Path) -> Any:
        made.append(path)
        return load_network(path)

    made: list[Path] = []
    monkeypatch.setattr(networks, "read_header", header)
    monkeypatch.setattr(networks, "load_network", load)
    path, stage = compact(tmp_path / "net.safetensors"), tiny_plan().stages[0]
    assert network_problems(path, stage) + network_problems(path, stage) == []
    assert (len(read), len(made)) == (1, 1)
    path.write_bytes(path.read_bytes()[:-8])
    assert "is 8 bytes too short" in network_problems(path, stage)[0]
    compact(path, scale=1)
    assert "enlarges no pictures" in network_problems(path, stage)[0]
    with named_by_a_picture(paths="allow it"):
        assert "is named by a picture" in network_problems(path, stage)[0], "who asks is not cached"


def test_warnings_about_numbers_are_heard(tmp_path: Path) -> None:
    def call(pixels: torch.Tensor) -> torch.Tensor:
        warnings.warn("to be changed some day", UserWarning, stacklevel=2)
        warnings.warn("overflow", RuntimeWarning, stacklevel=2)
        return pixels.repeat(1, 1, 2, 2)

    with pytest.warns(RuntimeWarning, match="overflow") as heard:
        applied(Network(tmp_path / "net.safetensors", "Compact", 2, False, "cpu", call), torch.zeros(1, 3, 4, 4))
    assert len(heard) == 1


def test_a_strangers_recipe_opens_no_file(tmp_path: Path) -> None:
    path = compact(tmp_path / "net.safetensors")
    with named_by_a_picture(paths="allow it"), pytest.raises(ModelError, match="is named by a picture, and so is not"):
        check_network(path)


def test_without_spandrel_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_LIBRARIES", {"spandrel_of_nobody": "fusionkit[upscale]"})
    with pytest.raises(ModelError) as error:
        check_network(compact(tmp_path / "net.safetensors"))
    assert str(error.value).endswith(
        "needs spandrel_of_nobody, which is not installed: pip install 'fusionkit[upscale]'"
    )


def test_looking_at_a_file_needs_no_torch(tmp_path: Path) -> None:
    path = compact(tmp_path / "net.safetensors")
    code = (
        "import sys; from pathlib import Path; from fusionkit.models.networks import check_network; "
        f"check_network(Path({str(path)!r})); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
