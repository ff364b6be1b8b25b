"""ControlNets from a hub: read without their weights, loaded, and kept; and what is said when that fails."""

from __future__ import annotations

import shutil
from pathlib import Path

from local_hub import hub
from test_hub import ask
from tiny_models import CHECKPOINTS

SCRIPT = """
from fusionkit.models.controlnet import inspect_controlnet, load_controlnet
def seen(name):
    try:
        info = inspect_controlnet(name)
        return info.kind, info.where, info.factor
    except FusionError as error:
        return str(error)
"""


def test_a_controlnet_of_the_hub(tmp_path: Path) -> None:
    loading = (
        f"{SCRIPT}import torch\nprint(seen('owner/net'))\n"
        "print(type(load_controlnet(inspect_controlnet('owner/net'), 'cpu', torch.float32)).__name__)"
    )
    with hub({"owner/net": CHECKPOINTS / "tiny-controlnet"}) as (endpoint, asked):
        before = ask(endpoint, tmp_path, f"{SCRIPT}print(seen('owner/net'))")
        read = set(asked)
        loaded = ask(endpoint, tmp_path, loading)
    again = ask(endpoint, tmp_path, loading, HF_HUB_OFFLINE="1")
    assert before == ["('sdxl', 'owner/net', 8)"]
    assert not any(path.endswith(".safetensors") for path in read)
    # In the end the weights are in the cache, and the hub is gone.
    assert loaded == again == [*before, "ControlNetModel"]


def test_what_a_hub_may_answer(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    pickled = Path(shutil.copytree(CHECKPOINTS / "tiny-controlnet", tmp_path / "pickled"))
    (pickled / "diffusion_pytorch_model.safetensors").rename(pickled / "diffusion_pytorch_model.bin")
    models = {"owner/empty": tmp_path / "empty", "owner/pickled": pickled}
    with hub(models) as (endpoint, _):
        said = ask(
            endpoint,
            tmp_path / "home",
            f"{SCRIPT}for name in ('owner/gone', 'owner/empty', 'owner/gated', 'owner/pickled', 'tinyworld/cany'):\n"
            "    print(seen(name))",
        )
    assert said.pop(3).startswith("controlnet 'owner/pickled' has pickle-only weights, which can run any code")
    assert said == [
        "controlnet 'owner/gone' is not on the hub, and there is no such folder",
        "controlnet 'owner/empty' is no diffusers controlnet: it has no config.json",
        "controlnet 'owner/gated' is gated: accept its terms on the hub and log in with 'hf auth login'",
        "no embedded controlnet 'tinyworld/cany'; did you mean 'tinyworld/canny'?",
    ]
