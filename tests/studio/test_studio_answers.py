"""What the studio answers: one plan at a time, in words for the page, and nothing that only the command line can do."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fusionkit.studio import answers
from fusionkit.studio.answers import Studio
from fusionkit.studio.folder import studio_folder
from fusionkit.studio.jobs import DONE, Job


@pytest.fixture
def studio(here: Path) -> Studio:
    return Studio(studio_folder(here))


def test_plans_are_made_one_at_a_time(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: list[int] = []
    running: list[int] = []

    def planned(draft: Any) -> tuple[list[Any], dict[str, Any]]:
        running.append(1)
        time.sleep(0.02)
        at_once.append(len(running))
        running.pop()
        return [], {}

    monkeypatch.setattr(answers, "planned", planned)
    threads = [threading.Thread(target=studio.plan, args=({"recipe": {}},)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert at_once == [1, 1, 1, 1], "two threads that import a library at once may see it half imported"


def test_variants_are_others_than_those_that_are_there(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"model": "tinyworld/scenes", "size": "64x64", "seed": 4}
    (studio.folder.path / "a.png").touch()
    studio.jobs.add(Job({**recipe, "seed": 5}, state=DONE, picture="a.png"))
    studio.jobs.add(Job({**recipe, "seed": 6}, state=DONE, picture="gone.png"))
    studio.jobs.add(Job({**recipe, "seed": 7}))
    monkeypatch.setattr(answers, "checked", lambda draft: ([], []))
    asked = studio.draw({"recipe": recipe, "count": 3})["jobs"]
    assert [studio.jobs.get(each).recipe["seed"] for each in asked] == [4, 6, 8]
    (again,) = studio.draw({"recipe": {**recipe, "seed": 5}, "count": 1})["jobs"]
    assert studio.jobs.get(again).recipe["seed"] == 5, "whoever asks for one gets it"


def test_recipes_say_what_they_are_and_no_command(studio: Studio) -> None:
    about = {each["name"]: each["about"] for each in studio.about["recipes"]}
    assert about["cross-architecture"].endswith("matched at equal noise in the latents.")
    assert about["upscale-vista"] == "A picture at twice its window's side, with the model that comes with fusionkit"
    assert all(text and "--set" not in text for text in about.values())


def test_a_fault_of_ours_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("starlette")
    from fusionkit.studio.server import _told

    def fails() -> dict[str, Any]:
        raise ValueError("no such thing")

    # In a thread of its own: in the main one a browser of other tests may keep its loop.
    with ThreadPoolExecutor(1) as thread:
        told = json.loads(thread.submit(lambda: asyncio.run(_told(fails))).result().body)
    assert told == {"errors": ["ValueError: no such thing; the terminal of the studio says where"]}
    assert "in fails" in capsys.readouterr().err
