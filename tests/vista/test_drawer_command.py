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
from fusionkit_vista.commands import vista
from fusionkit_vista.windows import window


def command(*arguments: str) -> Result:
    return CliRunner().invoke(vista, ["draw", *arguments])


def test_the_drawer_loads_neither_torch_nor_fusionkit() -> None:
    code = "import sys, fusionkit_vista.draw, fusionkit_vista.drawer, fusionkit_vista.windows; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "fusionkit", "skia", "click"} & set(loaded)


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "skia", None)
    result = command("a forest", "-o", str(tmp_path / "a.png"))
    assert result.exit_code == 1
    assert result.output == "Error: drawing needs skia-python: pip install 'fusionkit[vista]'\n"


def test_it_is_a_command_of_fusionkit(tmp_path: Path) -> None:
    pytest.importorskip("skia", reason="drawing needs skia-python: pip install 'fusionkit[vista]'")
    result = CliRunner().invoke(main, ["vista", "draw", "a moon", "--size", "32x32", "-o", str(tmp_path / "moon.png")])
    assert result.exit_code == 0, result.output
    assert "with a moon" in result.output
    assert np.asarray(Image.open(tmp_path / "moon.png")).shape == (32, 32, 3)


def test_a_misspelt_prompt_is_one_line(tmp_path: Path) -> None:
    result = command("a forrest", "-o", str(tmp_path / "a.png"))
    assert result.exit_code == 1
    assert result.output.startswith("Error: prompt: unknown: 'forrest'; the words are: a, ")
    assert result.output.count("\n") == 1


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
