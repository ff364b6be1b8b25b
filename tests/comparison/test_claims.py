"""A claim is one process', whoever else wants it at that moment, until it ends, dies, or gives no sign of life."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from warm import Warm

from fusionkit.comparison.claims import Claims

NAMES = [f"pictures/a/p{number:03}.png" for number in range(40)]


def taken(folder: Path) -> list[str]:
    with Claims(folder) as claims:
        return [name for name in NAMES if claims.take(name)]


def takes_all(arguments: list[str]) -> None:
    """Takes what it gets, once all others are there, tells, and is gone without an end once all have told."""
    folder, number, count = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    together(folder / "here", number, count)
    claims = Claims(folder / "claims")
    print(*[name for name in NAMES if claims.take(name)], flush=True)
    together(folder / "done", number, count)
    os._exit(0)


def together(folder: Path, number: int, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(number)).touch()
    while len(list(folder.iterdir())) < count:
        time.sleep(0.001)


def at_once(folder: Path, count: int) -> list[str]:
    """What several processes got that began at the same moment."""
    for name in ("here", "done"):
        shutil.rmtree(folder / name, ignore_errors=True)
    processes = [Warm(takes_all, [str(folder), str(number), str(count)]) for number in range(count)]
    said = [process.communicate() for process in processes]
    assert [err for _, err in said] == [""] * count
    for process in processes:
        process.__exit__()
    return [name for out, _ in said for name in out.split()]


def test_of_several_at_once_each_name_is_had_by_one_and_what_the_dead_had_by_one_again(tmp_path: Path) -> None:
    assert sorted(at_once(tmp_path, 4)) == NAMES
    # All of them are dead now, and four more want what they left.
    assert sorted(at_once(tmp_path, 4)) == NAMES
    assert taken(tmp_path / "claims") == NAMES
    assert (tmp_path / "claims" / f"{NAMES[0]}.3").is_file()
    assert not list(tmp_path.rglob("*.part"))


def test_a_claim_says_who_has_it(tmp_path: Path) -> None:
    with Claims(tmp_path) as mine, Claims(tmp_path) as other:
        assert mine.take("a.png")
        assert not other.take("a.png")
        holder = other.holder("a.png")
        assert holder is not None
        assert holder.pid == os.getpid()
        assert 0 <= time.time() - holder.time < 60
        assert holder.who == f"process {os.getpid()} on {holder.host}"
        assert other.anybody() == holder
        assert mine.anybody() is None
        mine.end("a.png")
        assert other.holder("a.png") is None
        assert other.take("a.png")
    with Claims(tmp_path) as third:
        assert third.take("a.png"), "what ended left its claims to others"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A claim that a process of another machine, whose number nobody has here, made a minute ago."""
    with Claims(tmp_path) as claims:
        claims.take("a.png")
        path = tmp_path / "a.png.1"
        told = json.loads(path.read_text())
        claims._held.clear()
    path.write_text(json.dumps({**told, "host": "node-3", "place": "node-3", "pid": 1 << 30}))
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


def test_one_of_another_machine_is_dead_where_it_gave_no_sign_of_life_for_long(tmp_path: Path, elsewhere: Path) -> None:
    patient, impatient = Claims(tmp_path, patience=90), Claims(tmp_path, patience=30)
    assert not patient.take("a.png")
    assert [each and each.host for each in (patient.holder("a.png"), impatient.holder("a.png"))] == ["node-3", None]
    assert impatient.take("a.png")
    assert not patient.take("a.png")


def test_of_this_machine_it_is_dead_at_once(tmp_path: Path, elsewhere: Path) -> None:
    told = json.loads(elsewhere.read_text())
    claims = Claims(tmp_path, patience=90)
    elsewhere.write_text(json.dumps({**told, "place": claims._place}))
    os.utime(elsewhere)
    assert claims.take("a.png")


def test_half_a_claim_counts_as_one_until_it_is_old(tmp_path: Path) -> None:
    (tmp_path / "a.png.1").write_text('{"host": "no')
    assert not Claims(tmp_path).take("a.png")
    assert Claims(tmp_path, patience=-1).take("a.png")


def test_signs_of_life_are_given_and_end(tmp_path: Path) -> None:
    path = tmp_path / "a.png.1"
    with Claims(tmp_path, beat=0.02) as claims:
        claims.take("a.png")
        os.utime(path, (1, 1))
        until = time.monotonic() + 30
        while path.stat().st_mtime < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 60
        claims.clear(["a.png"])
        assert not path.exists()
    time.sleep(0.06)
    assert not list(tmp_path.rglob("*"))


def test_who_slept_too_long_sees_that_it_lost_its_claim(tmp_path: Path) -> None:
    sleeper, other = Claims(tmp_path), Claims(tmp_path, patience=-1)
    assert sleeper.take("a.png")
    assert sleeper.holds("a.png")
    assert other.take("a.png")
    assert (sleeper.holds("a.png"), other.holds("a.png")) == (False, True)
    sleeper.end("a.png")
    assert other.holds("a.png")
    assert not Claims(tmp_path).take("a.png")


def test_clearing_deletes_claims_alone(tmp_path: Path) -> None:
    taken(tmp_path / "claims")
    mine = tmp_path / "claims/pictures/mine.txt"
    mine.write_text("keep me")
    claims = Claims(tmp_path / "claims")
    claims.clear(NAMES[1:])
    assert [path.name for path in (tmp_path / "claims/pictures/a").iterdir()] == ["p000.png.1"]
    claims.clear_all()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_waiting_is_for_one_at_a_time(tmp_path: Path) -> None:
    first, second = Claims(tmp_path), Claims(tmp_path)
    with first.waiting("measuring"):
        assert not second.take("measuring")
    with second.waiting("measuring", every=0.01):
        assert second.holds("measuring")
