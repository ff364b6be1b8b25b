from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fusionkit.cli import main
from fusionkit_vista import draw as shards
from fusionkit_vista.drawer.captions import vocabulary
from fusionkit_vista.windows import window


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["vista", "draw", *arguments])


def test_the_drawer_loads_neither_torch_nor_fusionkit() -> None:
    code = "import sys, fusionkit_vista.draw, fusionkit_vista.drawer, fusionkit_vista.windows; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "fusionkit", "skia", "click"} & set(loaded)


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "skia", None)
    result = command("a forest", "-o", str(tmp_path / "a.png"))
    assert result.exit_code == 1
    assert result.output == "drawing needs skia-python: pip install 'fusionkit[vista]'\n"


def test_it_draws_a_moon(tmp_path: Path) -> None:
    pytest.importorskip("skia", reason="drawing needs skia-python: pip install 'fusionkit[vista]'")
    result = command("a moon", "--size", "32x32", "-o", str(tmp_path / "moon.png"))
    assert result.exit_code == 0, result.output
    assert "with a moon" in result.output
    assert np.asarray(Image.open(tmp_path / "moon.png")).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("a forrest", "prompt 'a forrest': vista has no word 'forrest'; did you mean 'forest'?\n"),
        (
            "hello",
            "prompt 'hello': vista has no word 'hello'; write such as 'a poster of the sea at sunset with two "
            "sailboats'; 'fusionkit vista draw --help' lists the words\n",
        ),
        (
            "a city with a whale",
            "prompt 'a city with a whale': 'a city' and 'whale' don't go together; in place of 'a city': the sea, a "
            "rocky coast\n",
        ),
        (
            "a poster of the sea at night in rain under a rainbow",
            "prompt 'a poster of the sea at night in rain under a rainbow': 'the sea', 'at night' and 'in rain under a "
            "rainbow' don't go together; in place of 'at night': at dawn, at noon, at sunset\n",
        ),
        (
            "with two sailboat",
            "prompt 'with two sailboat': 'two sailboat': a picture holds 'a sailboat', 'two sailboats', ",
        ),
    ],
)
def test_a_prompt_that_is_not_understood_is_one_line_with_what_to_write_instead(
    tmp_path: Path, prompt: str, says: str
) -> None:
    result = command(prompt, "-o", str(tmp_path / "a.png"))
    assert result.exit_code == 2
    assert result.output.startswith(says)
    assert result.output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_picture_is_refused_beside_what_the_prompt_says_wrong(tmp_path: Path) -> None:
    result = command("hello", "-o", str(tmp_path / "a.gif"))
    assert result.exit_code == 2
    first, second = result.output.splitlines()
    assert first == f"--output '{tmp_path / 'a.gif'}': pictures are written as .png, .jpg or .webp"
    assert second.startswith("prompt 'hello': vista has no word 'hello'")


def test_its_help_lists_every_word() -> None:
    told = command("--help").output
    assert set(vocabulary()) - {"sky"} <= set(told.replace(",", " ").replace("[", " ").replace("]", " ").split())


@pytest.mark.parametrize("size", ["128", "0x128", "axb", "99999x128"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    result = command("a forest", "--size", size)
    assert result.exit_code == 2
    assert f"'{size}' is no size; it is written as WxH" in result.output


class TestDrawn:
    @pytest.fixture(autouse=True)
    def _skia(self) -> None:
        pytest.importorskip("skia", reason="drawing needs skia-python: pip install 'fusionkit[vista]'")

    def test_a_prompt_becomes_pictures(self, tmp_path: Path) -> None:
        asked = ("a woodcut of the sea at noon in mist with two whales", "-o", str(tmp_path / "sea.png"))
        result = command(*asked, "--size", "96x64", "--count", "2", "--seed", "3")
        assert result.exit_code == 0, result.output
        pictures = [np.asarray(Image.open(tmp_path / f"sea-{number}.png")) for number in (1, 2)]
        assert [p.shape for p in pictures] == [(64, 96, 3)] * 2
        assert not np.array_equal(*pictures)
        assert result.output.count("a landscape woodcut of the sea at noon in mist with two whales") == 2

    def test_a_file_is_kept_but_with_overwrite(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        for seed, more, files in ((0, (), 1), (1, (), 2), (2, ("--overwrite",), 2)):
            result = command("a desert", "-o", str(path), "--size", "32x32", "--seed", str(seed), *more)
            assert result.exit_code == 0, result.output
            assert len(list(tmp_path.iterdir())) == files

    def test_shards_hold_what_each_number_draws(self, tmp_path: Path) -> None:
        assert shards.main([str(tmp_path), "--count", "9", "--seed", "4", "--processes", "2"]) == 0
        loaded = shards.load(tmp_path)
        assert [len(facts) for _, facts in loaded] == [5, 4]
        for pictures, facts in loaded:
            assert pictures.shape == (len(facts), 160, 160, 3)
            for picture, fact in zip(pictures, facts, strict=True):
                alone = window(4, fact["index"])
                assert np.array_equal(picture, alone.draw())
                assert {"index": fact["index"], **json.loads(json.dumps(alone.facts()))} == fact
        assert sorted(fact["index"] for _, facts in loaded for fact in facts) == list(range(9))

    def test_a_time_limit_keeps_what_is_drawn(self, tmp_path: Path) -> None:
        shards.draw_shard(tmp_path, 0, 1, 1000, 0, until=0.0, close=True)
        assert [len(facts) for _, facts in shards.load(tmp_path)] == [0]

    def test_close_ups_and_windows_of_wide_drawings_are_among_the_pictures(self) -> None:
        windows = [window(1, index) for index in range(400)]
        zooms = np.array([w.view[2] for w in windows])
        assert 0.12 < (zooms == 2).mean() < 0.23
        assert 0.07 < (zooms == 4).mean() < 0.16
        assert 0.04 < np.mean([w.spec.width > 1 for w in windows]) < 0.14
        assert all(window(1, index, close=False).view == (0.0, 0.0, 1.0) for index in range(50))
