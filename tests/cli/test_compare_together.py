"""Parts of one comparison, in processes of their own: each picture is drawn once, and one of them measures."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import RECIPE, Run
from warm import Warm, answered, command

from fusionkit.comparison.claims import Claims
from fusionkit.comparison.together import MEASURING

OUT = Path("out/compare/r")
COMPARE = ("compare", "r.yaml", "--set", "steps=1", "--metrics", "variance")
SHARED = (*COMPARE, "--vary", "plugins.style-alignment.alpha=0,0.5", "--seeds", "0-3")
PAGE = f"{OUT / 'index.html'}\n"


def part(which: str, *more: str) -> Warm:
    return Warm(command, [*SHARED, *(("--part", which) if which else ()), *more])


def drawn() -> Counter[str]:
    """How often each picture was drawn, by the list of what was written."""
    lines = [line for path in OUT.glob(".written*") for line in path.read_text().splitlines()]
    return Counter(name for line in lines if (name := line.partition("  ")[2]).endswith(".png"))


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 100
    while not holds():
        assert time.monotonic() < end, "nothing happened for 100 s"
        time.sleep(0.02)


def claims() -> list[Path]:
    return list((OUT / ".claims/pictures").rglob("*.png.*"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables of the same pictures, drawn by one process."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "r.yaml").write_text(RECIPE)
    ran = answered(*SHARED, "-q", folder=folder)
    assert ran.returncode == 0, ran.stderr
    return {name: (folder / OUT / name).read_text() for name in ("scores.csv", "pictures.csv")}


def tables() -> dict[str, str]:
    return {name: (OUT / name).read_text() for name in ("scores.csv", "pictures.csv")}


def test_parts_of_any_number_and_no_part_draw_each_picture_once_and_one_measures(alone: dict[str, str]) -> None:
    processes = [part("1/2", "-q"), part("2/3", "-q"), part("", "-q")]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    for process in processes:
        process.__exit__()
    assert len(drawn()) == 8
    assert set(drawn().values()) == {1}
    assert [out for out, _ in said].count(PAGE) >= 1
    others = [out for out, _ in said if out != PAGE]
    assert all(" of 8 pictures are drawn in " in out and out.endswith(" measures them\n") for out in others)
    assert tables() == alone
    assert not (OUT / ".claims").exists()


@pytest.mark.parametrize("comes_back", [False, True], ids=["killed", "slow"])
def test_who_does_not_get_on_draws_fewer_and_what_the_dead_left_is_drawn_by_others(
    alone: dict[str, str], comes_back: bool
) -> None:
    """A part that stands still is one of no speed at all."""
    with part("1/2", "-q") as slow, part("2/2") as quick:
        until(lambda: len(claims()) >= 3 and OUT.joinpath("pictures").exists())
        slow.send_signal(signal.SIGSTOP)
        # The quick one draws all but what the other one has.
        until(lambda: sum(drawn().values()) >= 7)
        before = drawn()
        if comes_back:
            slow.send_signal(signal.SIGCONT)
            out, _ = slow.communicate()
            assert out.endswith(" measures them\n") or out == PAGE
        else:
            slow.kill()
        out, err = quick.communicate()
    assert quick.returncode == 0, err
    assert out.endswith(PAGE)
    assert sum(before.values()) == 7
    assert set(drawn().values()) == {1}
    assert len(drawn()) == 8
    assert tables() == alone


def test_a_part_that_comes_when_all_is_done_does_nothing(fusionkit: Run) -> None:
    first = fusionkit(*COMPARE, "--seeds", "0", "-q", "--part", "0/2")
    assert (first.code, first.out) == (0, PAGE)
    before = {path: path.stat().st_mtime_ns for path in OUT.rglob("*")}
    second = fusionkit(*COMPARE, "--seeds", "0", "-q", "--part", "1/2")
    assert (second.code, second.out) == (0, PAGE)
    assert {path: path.stat().st_mtime_ns for path in OUT.rglob("*") if path.is_file()} == {
        path: at for path, at in before.items() if path.is_file()
    }


def test_of_two_that_end_together_one_measures_and_the_other_says_who(fusionkit: Run) -> None:
    with Claims(OUT / ".claims") as other:
        names: list[str] = []
        take = Claims.take

        def taken(self: Claims, name: str) -> bool:
            """The other one was a moment faster where it comes to the end."""
            if name.startswith("finishing-"):
                names.append(name)
                assert take(other, name)
            return take(self, name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Claims, "take", taken)
            ran = fusionkit(*COMPARE, "--seeds", "0", "-q")
        who = other.holder(names[0])
        assert who is not None
        assert (ran.code, ran.out) == (0, f"1 of 1 picture are drawn in {OUT}; {who.who} measures them\n")
        assert not (OUT / "index.html").exists()


def test_show_waits_for_who_measures(fusionkit: Run) -> None:
    assert fusionkit(*COMPARE, "--seeds", "0", "-q").code == 0
    with Claims(OUT / ".claims") as other:
        other.take(MEASURING)
        with Warm(command, [*COMPARE, "--seeds", "0", "-q", "--show"]) as shown:
            time.sleep(1)
            assert shown.poll() is None
            other.end(MEASURING)
            assert shown.communicate() == (PAGE, "")


def test_nothing_is_deleted_that_somebody_draws(fusionkit: Run) -> None:
    assert fusionkit(*COMPARE, "--seeds", "0", "-q").code == 0
    with Claims(OUT / ".claims") as other:
        other.take("pictures/r/p000-s1.png")
        ran = fusionkit(*COMPARE, "--seeds", "5", "-q", "--replace")
        who = f"process {os.getpid()} on {os.uname().nodename}"
        assert (ran.code, ran.err) == (1, f"{OUT}: {who} is drawing into it; wait for it, or end it\n")
    assert fusionkit(*COMPARE, "--seeds", "5", "-q", "--replace").code == 0


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("3", "must be a part such as 1/2, not '3'"),
        ("/4", "'/4' lacks which part it is, as where a variable is not set; it must be such as 1/2"),
        ("3/", "'3/' lacks how many parts there are, as where a variable is not set; it must be such as 1/2"),
        ("5/4", "must count from 0 or from 1 up to the number of parts, such as 1/2, not '5/4'"),
        ("0/0", "must count from 0 or from 1 up to the number of parts, such as 1/2, not '0/0'"),
    ],
)
def test_a_part_that_makes_no_sense_is_one_line(fusionkit: Run, given: str, line: str) -> None:
    ran = fusionkit(*COMPARE, "--part", given)
    assert ran.code == 2
    assert line in ran.err
