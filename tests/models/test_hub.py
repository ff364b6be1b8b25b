"""Models and ControlNets of a hub: found, read without their weights, loaded, and kept; what is said if that fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from local_hub import COMMIT, hub
from tiny_models import CHECKPOINTS

PRELUDE = """
from fusionkit.errors import FusionError
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_model
from fusionkit.recipe import Recipe
def inspected(name, **options):
    try:
        info = inspect_model(name, **options)
        return info.kind, info.window, info.parameters
    except FusionError as error:
        return str(error)

from fusionkit.models.controlnet import inspect_controlnet, load_controlnet
def seen(name):
    try:
        info = inspect_controlnet(name)
        return info.kind, info.where, info.factor
    except FusionError as error:
        return str(error)
"""


def ask(endpoint: str, home: Path, script: str, **environment: str) -> list[str]:
    """Run a script with the hub at an address; the hub's client reads it once, when it is imported."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "HF_HUB_OFFLINE" in environment or endpoint.endswith(":9"):
        assert done.stderr == "", "a library tells of the hub that it does not reach"
    return done.stdout.splitlines()


class Downloaded(NamedTuple):
    """Where the weights are, what was printed, and what the hub was asked for before and as they came."""

    home: Path
    said: list[str]
    looking: set[str]
    loading: set[str]


# Seen among what the hub is asked for, and not there.
MARK = """
import contextlib, os, urllib.error, urllib.request
with contextlib.suppress(urllib.error.HTTPError):
    urllib.request.urlopen(os.environ['HF_ENDPOINT'] + '/mark')
"""
INSPECTING = "print(inspected('owner/tiny'))\nprint(seen('owner/net'))\n"
LOADING = """
import torch
model = load_model(Recipe(model='owner/tiny', device='cpu'), inspect_model('owner/tiny'))
print(type(model.pipe).__name__)
print(type(load_controlnet(inspect_controlnet('owner/net'), 'cpu', torch.float32)).__name__)
"""


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Downloaded:
    """A model and a ControlNet looked at, loaded, and loaded once more from where no files are told; in one process."""
    home = tmp_path_factory.mktemp("hub")
    folders = {"tiny": CHECKPOINTS / "tiny-sd", "net": CHECKPOINTS / "tiny-controlnet"}
    models = {f"{owner}/{name}": folder for owner in ("owner", "silent") for name, folder in folders.items()}
    silent = "import fusionkit.models.files.hub as hub\nhub.hub_listing = lambda hub_id, revision: []\n"
    with hub(models) as (endpoint, asked):
        script = INSPECTING + MARK + LOADING + MARK + silent + LOADING.replace("owner/", "silent/")
        said = ask(endpoint, home, script)
    first, second = (number for number, path in enumerate(asked) if path == "mark")
    return Downloaded(home, said, set(asked[:first]), set(asked[first:second]))


def test_a_model_and_a_controlnet_of_the_hub(downloaded: Downloaded) -> None:
    seen, loaded = downloaded.said[:2], downloaded.said[2:4]
    with hub({}) as (endpoint, _):
        again = ask(endpoint, downloaded.home, INSPECTING + LOADING, HF_HUB_OFFLINE="1")
    assert ask("http://127.0.0.1:9", downloaded.home, INSPECTING + LOADING) == again

    assert seen == ["('sd', (128, 128), 0)", "('sdxl', 'owner/net', 8)"]
    assert not any(path.endswith((".safetensors", ".txt")) for path in downloaded.looking)
    assert loaded == ["StableDiffusionPipeline", "ControlNetModel"]
    assert "owner/tiny/resolve/main/unet/diffusion_pytorch_model.safetensors" in {
        path.replace(COMMIT, "main") for path in downloaded.loading
    }
    # Now the weights are in the cache, and the hub is gone.
    assert again == ["('sd', (128, 128), 502371)", "('sdxl', 'owner/net', 8)", *loaded]


def test_weights_come_though_the_hub_does_not_tell_its_files(downloaded: Downloaded) -> None:
    assert downloaded.said[4:] == ["StableDiffusionPipeline", "ControlNetModel"]


def test_what_a_hub_may_answer(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    pickled = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "pickled"))
    for file in pickled.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    models = {"owner/tiny": CHECKPOINTS / "tiny-sd", "owner/empty": tmp_path / "empty", "owner/pickled": pickled}
    with hub(models) as (endpoint, _):
        said = ask(
            endpoint,
            tmp_path / "home",
            "for name in ('owner/gone', 'owner/empty', 'owner/gated', 'owner/pickled'):\n    print(inspected(name))\n"
            "print(inspected('owner/tiny', revision='old'))",
        )
    assert said.pop(3).startswith(
        "model 'owner/pickled' has pickle-only weights, which can run any code and are refused"
    )
    assert said == [
        "model 'owner/gone' is not on the hub, and there is no such folder",
        "model 'owner/empty' is no diffusers model: it has no model_index.json",
        "model 'owner/gated' is gated: accept its terms on the hub and log in with 'hf auth login'",
        "model 'owner/tiny' has no revision 'old'",
    ]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no.such.host.invalid"])
def test_a_hub_that_can_not_be_reached(tmp_path: Path, endpoint: str) -> None:
    assert ask(endpoint, tmp_path, "print(inspected('owner/tiny'))") == [
        "model 'owner/tiny' is not in the local cache and the hub can't be reached; there is no such folder either"
    ]
