"""A short run of the fuzzer: no input ends in an internal error, hangs, or takes too much memory."""

from __future__ import annotations

import sys

import pytest
from fuzz_attempts import GOOD, attempt, drawn, validated
from fuzz_cases import Case, make_case

from fusionkit.errors import FusionError
from fusionkit.recipe.recipe_file import RecipeFile

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are those of Linux")

COUNT, DRAWN = 200, 8


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    import diffusers  # noqa: F401 - so that no input is charged with it


def test_no_input_ends_wrong_and_what_is_valid_is_drawn() -> None:
    wrong: dict[int, str] = {}
    valid: list[int] = []
    for number in range(COUNT):
        outcome = attempt(make_case(0, number), validated)
        if outcome.kind not in GOOD:
            wrong[number] = f"{outcome.kind}: {outcome.told}"
        elif outcome.kind == "valid" and make_case(0, number).kind in ("recipe", "set"):
            valid.append(number)
    assert wrong == {}
    assert len(valid) >= DRAWN
    outcomes = {number: attempt(make_case(0, number), drawn) for number in valid[:DRAWN]}
    assert {n: each for n, each in outcomes.items() if each.kind not in ("drawn", "too long")} == {}


def test_a_case_is_decided_by_seed_and_number() -> None:
    assert [make_case(3, n) for n in range(50)] == [make_case(3, n) for n in range(50)]
    assert make_case(3, 1) != make_case(4, 1)
    assert {make_case(0, n).kind for n in range(50)} == {"recipe", "comparison", "set", "model"}


def test_the_fuzzer_finds_what_it_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionkit.runs import checks

    case = Case("recipe", ["r.yaml"], {"r.yaml": b"model: tinyworld/scenes"})
    assert attempt(case, validated).kind == "valid"

    def ending(error: BaseException | None) -> str:
        def fails(file: object) -> None:
            if error is not None:
                raise error
            while True:
                pass

        monkeypatch.setattr(checks, "check_file", fails)
        return attempt(case, validated).kind

    def refuses(file: object) -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise FusionError("no") from error

    assert ending(ValueError("a")) == "internal"
    assert ending(SystemExit()) == "internal"
    assert ending(MemoryError()) == "memory"
    monkeypatch.setattr(checks, "check_file", refuses)
    assert attempt(case, validated).kind == "memory"
    # The time is the process's own, so that no other one can matter; the command makes another exception of what rings.
    monkeypatch.setattr("fuzz_attempts.SECONDS", 0.5)
    assert ending(None) == "hang"
    outcome = attempt(case, validated)
    assert 0.4 <= outcome.seconds < 5


def test_what_an_input_costs_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionkit.runs import checks

    check = checks.check_file

    def takes(file: RecipeFile) -> object:
        assert len(b"x" * 300_000_000) == 300_000_000
        return check(file)

    monkeypatch.setattr(checks, "check_file", takes)
    outcome = attempt(Case("recipe", ["r.yaml"], {"r.yaml": b"model: tinyworld/scenes"}), validated)
    assert outcome.kind == "valid"
    assert 280_000_000 < outcome.memory < 400_000_000
    monkeypatch.setattr("fuzz_attempts.MEMORY", 200_000_000)
    assert attempt(Case("recipe", ["r.yaml"], {"r.yaml": b"model: tinyworld/scenes"}), validated).kind == "memory"
