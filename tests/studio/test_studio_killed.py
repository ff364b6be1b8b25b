"""A studio that is killed in the middle of a run, and started again."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from studio_served import Serve

from fusionkit.pictures.metadata import read_metadata

RECIPE: dict[str, Any] = {
    "name": "sky",
    "model": "tinyworld/scenes",
    "prompt": "a photo of the sky at noon",
    "size": "128x64",
    "steps": 16,
    "plugins": [{"multidiffusion": {"stride": 32}}],
}


def test_a_studio_that_is_killed_goes_on_with_its_run_and_has_its_history(serve: Serve, tmp_path: Path) -> None:
    studio = serve(tmp_path)
    assert studio.ask("draw", recipe={**RECIPE, "steps": 1, "seed": 1})["group"] == ""
    studio.until(lambda state: state["jobs"][0]["state"] == "done")
    (second,) = studio.ask("draw", recipe=RECIPE)["jobs"]
    studio.ask("draw", recipe={**RECIPE, "steps": 1, "seed": 2})
    studio.until(lambda state: state["jobs"][1]["done"] > 0.1)
    studio.process.send_signal(signal.SIGKILL)
    # What draws is a process of its own: nobody asks it any more, so it keeps its run and ends.
    kept = tmp_path / ".studio" / "checkpoints" / f"{second}.checkpoint.safetensors"
    end = time.monotonic() + 60
    while not kept.is_file():
        assert time.monotonic() < end
        time.sleep(0.05)

    studio = serve(tmp_path)
    state = studio.ask("state")
    assert [each["name"] for each in state["pictures"]] == ["sky-1.png"]
    assert [(job["state"], job["resume"]) for job in state["jobs"][::2]] == [("done", False), ("waiting", False)]
    assert state["jobs"][1]["resume"]
    begun = studio.until(
        lambda state: state["jobs"][1]["step"].startswith("step") or state["jobs"][1]["state"] == "done"
    )
    assert begun["jobs"][1]["done"] > 0.1, "it went on, and did not begin anew"
    state = studio.until(lambda state: {job["state"] for job in state["jobs"]} == {"done"})
    assert {each["name"] for each in state["pictures"]} == {"sky-1.png", "sky-0.png", "sky-2.png"}
    assert not kept.exists()
    studio.ask("draw", recipe=RECIPE)
    studio.until(lambda state: {job["state"] for job in state["jobs"]} == {"done"})
    resumed, whole = (read_metadata(tmp_path / name)["latents"] for name in ("sky-0.png", "sky-0-2.png"))
    assert resumed == whole, "bit for bit"
