"""What is said of ControlNets that a hub does not have, or has in a way that can't be used."""

from __future__ import annotations

import shutil
from pathlib import Path

from local_hub import hub
from test_hub import ask
from tiny_models import CHECKPOINTS


def test_what_a_hub_may_answer(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    pickled = Path(shutil.copytree(CHECKPOINTS / "tiny-controlnet", tmp_path / "pickled"))
    (pickled / "diffusion_pytorch_model.safetensors").rename(pickled / "diffusion_pytorch_model.bin")
    models = {"owner/empty": tmp_path / "empty", "owner/pickled": pickled}
    with hub(models) as (endpoint, _):
        said = ask(
            endpoint,
            tmp_path / "home",
            "for name in ('owner/gone', 'owner/empty', 'owner/gated', 'owner/pickled', 'tinyworld/cany'):\n"
            "    print(seen(name))",
        )
    assert said.pop(3).startswith("controlnet 'owner/pickled' has pickle-only weights, which can run any code")
    assert said == [
        "controlnet 'owner/gone' is not on the hub, and there is no such folder",
        "controlnet 'owner/empty' is no diffusers controlnet: it has no config.json",
        "controlnet 'owner/gated' is gated: accept its terms on the hub and log in with 'hf auth login'",
        "no embedded controlnet 'tinyworld/cany'; did you mean 'tinyworld/canny'?",
    ]
