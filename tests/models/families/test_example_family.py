"""The family of somebody else's package, as the documentation tells it: installed, found, and right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from on_families import apart, drawn, model_of, run, stage_on
from tiny_parts import Case, autoencoder, flow, packed, pieces, seeded, shaken, t5

from fusionkit import Fusion
from fusionkit.errors import ModelError
from fusionkit.models.families import FAMILIES
from fusionkit.models.families.offered import forget
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.recipe.recipe_file import load_recipes

EXAMPLE = Path(__file__).parents[3] / "docs" / "example_family"

RECIPE = """
model: {model}
prompt: a red boat
size: 256x128
window: 128x128
steps: 2
device: cpu
plugins: [multidiffusion: {{stride: 64}}]
"""


def pipeline() -> Any:
    net = diffusers.BriaTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        axes_dims_rope=[4, 6, 6],
    )
    return diffusers.BriaPipeline(
        transformer=shaken(net),
        scheduler=flow(use_dynamic_shifting=True),
        text_encoder=t5(pieces()),
        tokenizer=pieces(),
        vae=autoencoder(),
    )


def drawn_by_bria(
    pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any
) -> torch.Tensor:
    guided = {"negative_prompt": negative, "guidance_scale": scale}
    tokens = pipe(prompt, **guided, latents=packed(pipe, noise), **call).images
    latents: torch.Tensor = pipe._unpack_latents(tokens, call["height"], call["width"], pipe.vae_scale_factor)
    return latents


BRIA = Case("bria", "bria", seeded(pipeline), drawn_by_bria)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed by pip from a copy of its folder."""
    work = tmp_path_factory.mktemp("example")
    ignore = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    source = shutil.copytree(EXAMPLE, work / "source", ignore=ignore)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(work / "installed"), str(source)], check=True)
    return work / "installed"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example as a package of this process."""
    monkeypatch.syspath_prepend(str(site))
    forget()
    yield
    forget()
    sys.modules.pop("fusionkit_bria", None)


def test_without_its_package_there_is_no_such_family() -> None:
    assert "bria" not in FAMILIES
    with pytest.raises(ModelError, match=r"a BriaPipeline can't be used; .*fusionkit draws with: "):
        info_of_pipeline(BRIA.make())


@pytest.mark.usefixtures("installed")
def test_one_window_is_the_plain_pipeline() -> None:
    assert FAMILIES["bria"].title == "Bria 3.2"
    stage = stage_on(model_of(BRIA, (192, 96)), steps=4)
    assert apart(run(stage), drawn(BRIA, stage)) <= 1e-4


@pytest.mark.usefixtures("installed")
def test_a_recipe_is_validated_without_torch_and_run(site: Path, tmp_path: Path) -> None:
    BRIA.make().save_pretrained(tmp_path / "model")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(model=tmp_path / "model"))
    code = (
        "import sys; from fusionkit.cli import main\n"
        "assert not main(['validate', sys.argv[1]], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    told = subprocess.run(
        [sys.executable, "-c", code, str(recipe)], env=environment, text=True, capture_output=True, check=False
    )
    assert told.returncode == 0, told.stderr
    (asked,) = load_recipes(recipe)
    assert Fusion.from_recipe(asked).run(progress=False).image.size == (256, 128)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Bria: pass", "is .*not a subclass of fusionkit.models.families.Family"),
        ("import nothing_there", "can't be imported"),
        (
            "from fusionkit.models.families import Family\nclass Bria(Family):\n    kind = 'other'",
            "calls itself 'other'; both must have one name",
        ),
        (
            "from fusionkit.models.families import Family\nclass Bria(Family):\n    kind = 'bria'",
            "has no title and no pipelines",
        ),
    ],
)
def test_a_broken_family_hides_no_other(site: Path, tmp_path: Path, monkeypatch: Any, text: str, said: str) -> None:
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / "fusionkit_bria" / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    forget()
    try:
        assert "flux" in FAMILIES
        assert "bria" not in FAMILIES
        with pytest.raises(ModelError, match=said):
            info_of_pipeline(BRIA.make())
    finally:
        monkeypatch.undo()
        sys.modules.pop("fusionkit_bria", None)
        forget()
