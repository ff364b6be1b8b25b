"""The process that draws, within this one: what it tells, what it keeps loaded, how it ends."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionkit import Fusion
from fusionkit.pictures.metadata import read_metadata
from fusionkit.studio.worker import Worker

REGIONS = {"regions": {"boxes": {"sun": {"prompt": "a photo of the sky at dusk", "box": [0, 0, 64, 32]}}}}
RECIPE: dict[str, Any] = {
    "name": "sky",
    "model": "tinyworld/scenes",
    "prompt": "a photo of the sky at noon",
    "size": "128x64",
    "steps": 3,
    "plugins": [{"multidiffusion": {"stride": 32}}, REGIONS],
}


def message(**changes: Any) -> dict[str, Any]:
    own = Path(".studio").absolute()
    kept = {"preview": own / "preview.png", "checkpoint": own / "a.checkpoint.safetensors", "maps": own / "maps"}
    told = {"do": "draw", "recipe": RECIPE, "careful": False, "resume": False, "every": 60.0}
    return {**told, **{name: str(path) for name, path in kept.items()}, **changes}


class Talk:
    """A worker, and what it has said."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.worker = Worker(self.say)
        self.at_step: dict[str, threading.Event] = {}

    def say(self, event: str, **values: Any) -> None:
        self.said.append({"event": event, **values})
        if (now := self.at_step.get(values.get("step", ""))) is not None:
            now.set()

    def draw(self, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        self.said.clear()
        for each in messages:
            self.worker.work.put(each)
        self.worker.work.put(None)
        self.worker.draw_all()
        return self.said

    @property
    def loads(self) -> int:
        return sum(each.get("step") == "loading the model" for each in self.said)

    @property
    def ends(self) -> list[dict[str, Any]]:
        return [each for each in self.said if each["event"] != "step"]


@pytest.fixture
def talk(here: Path) -> Talk:
    return Talk()


def test_a_picture_is_that_of_the_command_with_progress_preview_and_maps(talk: Talk) -> None:
    said = talk.draw(message())
    assert [(each["step"], round(each["done"], 2)) for each in said[:-1]] == [
        ("loading the model", 0.0),
        ("step 1 of 3", 0.33),
        ("step 2 of 3", 0.67),
        ("step 3 of 3", 1.0),
    ]
    assert (said[-1]["event"], said[-1]["picture"]) == ("done", "sky-0.png")
    assert said[-1]["seconds"] > 0
    assert said[-1]["passes"] == read_views(said)
    assert read_metadata(Path("sky-0.png"))["latents"] == Fusion.from_recipe("sky-0.png")(progress=False).latents_hash
    with Image.open(".studio/preview.png") as preview:
        assert preview.width == 2 * preview.height
    assert [each.name for each in Path(".studio/maps/sky-0.png").iterdir()] == ["regions.png"]
    assert not Path(".studio/a.checkpoint.safetensors").exists()


def read_views(said: list[dict[str, Any]]) -> int:
    """The passes of the same run as the plan counts them."""
    return Fusion.from_recipe("sky-0.png").plan().forward_passes


def test_the_next_picture_does_not_load_the_model_again_and_another_model_does(talk: Talk) -> None:
    again = message(
        recipe={**RECIPE, "seed": 1, "prompt": "a photo of a desert at noon", "size": "64x64", "plugins": []}
    )
    talk.draw(message(), again)
    assert (talk.loads, [each["picture"] for each in talk.ends]) == (1, ["sky-0.png", "sky-1.png"])
    talk.draw(message(recipe={**again["recipe"], "dtype": "bfloat16"}), again)
    assert talk.loads == 2
    assert [each["picture"] for each in talk.ends] == ["sky-1-2.png", "sky-1-3.png"]


def test_what_fails_is_told_and_the_next_one_is_drawn(talk: Talk) -> None:
    talk.draw(message(recipe={**RECIPE, "steps": 0}), message(recipe={**RECIPE, "model": "nowhere/there"}), message())
    assert [each["event"] for each in talk.ends] == ["failed", "failed", "done"]
    assert "'steps' must be at least 1" in talk.ends[0]["lines"][0]
    assert "nowhere/there" in talk.ends[1]["lines"][0]


def test_a_fault_is_told_in_one_line_and_the_log_says_where(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(talk.worker, "_draw", fails)
    assert talk.draw(message()) == [{"event": "failed", "lines": ["ValueError: no such thing; see .studio/worker.log"]}]
    assert "in fails" in capsys.readouterr().err


def test_a_run_that_is_cancelled_ends_after_its_step_and_goes_on_from_there(talk: Talk) -> None:
    talk.at_step["step 2 of 3"] = talk.worker.cancelled
    said = talk.draw(message())
    assert [each.get("step") for each in said] == ["loading the model", "step 1 of 3", "step 2 of 3", None]
    assert said[-1] == {"event": "cancelled"}
    assert Path(".studio/a.checkpoint.safetensors").is_file()
    assert not list(Path().glob("*.png"))
    talk.at_step.clear()
    talk.worker.cancelled.clear()
    said = talk.draw(message(resume=True))
    assert [each.get("step") for each in said] == ["step 3 of 3", None]
    assert read_metadata(Path("sky-0.png"))["latents"] == Fusion.from_recipe("sky-0.png")(progress=False).latents_hash


def test_where_nobody_asks_any_more_the_run_is_kept_and_it_ends(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", [json.dumps(message())])
    talk.worker.listen()
    assert talk.worker.ended.is_set()
    talk.worker.ended.clear()
    talk.at_step["step 1 of 3"] = talk.worker.ended
    talk.worker.draw_all()
    assert [each["event"] for each in talk.said] == ["step", "step"], "nobody is told that it ended"
    assert Path(".studio/a.checkpoint.safetensors").is_file()


def test_without_work_it_ends(talk: Talk) -> None:
    talk.worker.draw_all(idle=0.01)
    assert talk.said == []
