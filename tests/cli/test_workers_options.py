"""What the options about workers refuse, before anything loads; tests/distributed has what they do."""

from __future__ import annotations

import sys

import pytest
from command_line import Run

COMMANDS = [("run", "r.yaml"), ("compare", "r.yaml", "--seeds", "0"), ("evaluate", ".")]


@pytest.mark.parametrize("command", COMMANDS[:2], ids=lambda each: each[0])
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--share", "views"), "--share: is about workers; give --workers or --cluster, too"),
        (("--open-cluster",), "--open-cluster: is about workers; give --workers or --cluster, too"),
        (("--workers", "2", "--open-cluster"), "--open-cluster: is about a cluster; give --cluster, too"),
        (
            ("--workers", "2", "--device", "cuda:1"),
            "--workers: each worker has a device of its own; write 'cuda:1' without its number",
        ),
    ],
)
def test_options_that_make_no_sense(
    fusionkit: Run, command: tuple[str, ...], options: tuple[str, ...], line: str
) -> None:
    ran = fusionkit(*command, *options)
    assert (ran.code, ran.err.splitlines()) == (2, [line])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each[0])
def test_without_ray_one_line_says_what_brings_it(
    fusionkit: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = fusionkit(*command, "--workers", "2")
    assert ran.code == 2
    # With all else that is wrong: `evaluate` finds no pictures there.
    assert ran.err.splitlines()[0] == "workers need Ray, which is not installed: pip install 'fusionkit[ray]'"


def test_how_many_workers(fusionkit: Run) -> None:
    for count in ("0", "-1", "many", "1.5"):
        ran = fusionkit("run", "r.yaml", "--workers", count)
        assert ran.code == 2
        assert f"'{count}' is no number of workers from 1, and not 'all'" in ran.err


def test_what_is_followed_is_drawn_here(fusionkit: Run) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'fusionkit[ray]'")
    ran = fusionkit("run", "r.yaml", "--workers", "2", "--share", "pictures", "--resume", "--preview", "live.png")
    assert (ran.code, ran.err) == (
        2,
        "--preview, --resume: a picture that a worker draws as a whole can't be followed from here; --share views\n",
    )
