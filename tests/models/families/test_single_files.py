"""Single files of transformers: told by their headers, loaded on a base, and drawn as the pipeline that they are of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from flux_file import converted_at, flux_transformer
from on_families import apart, run, stage_on
from one_file import (
    clip_weights,
    inner,
    narrow_clip,
    sd3_transformer,
    t5_weights,
    vae_weights,
    write,
    z_image_transformer,
)
from safetensors.torch import save_file
from tiny_aura_flow import CASES as AURA_FLOW
from tiny_chroma import CASES as CHROMA
from tiny_flux import CASES as FLUX
from tiny_flux2 import CASES as FLUX2
from tiny_krea2 import CASES as KREA2
from tiny_lumina2 import CASES as LUMINA2
from tiny_ovis import CASES as OVIS
from tiny_qwen_image import CASES as QWEN
from tiny_sana import CASES as SANA
from tiny_sd3 import CASES as SD3
from tiny_z_image import CASES as Z_IMAGE

from fusionkit.errors import ModelError
from fusionkit.models.inspect import info_of_pipeline, inspect_model
from fusionkit.models.load import load_model, wrap_pipeline
from fusionkit.models.lora.fit import layers_of_model
from fusionkit.recipe import Recipe

DEV, SCHNELL = FLUX
# One of each family of which diffusers loads a transformer's file in its own layout.
OWN_LAYOUT = [
    AURA_FLOW[0],
    CHROMA[0],
    DEV,
    SCHNELL,
    FLUX2[0],
    KREA2[0],
    LUMINA2[0],
    QWEN[0],
    SANA[0],
    SD3[1],
    Z_IMAGE[0],
]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """A case's folder without the weights of its transformer: the base of a file."""
    root = tmp_path_factory.mktemp("bases")

    def saved(case: Any) -> Path:
        folder = root / case.name
        if not folder.exists():
            case.make().save_pretrained(folder)
            for file in (folder / "transformer").glob("*.safetensors"):
                file.unlink()
        return folder

    return saved


def transformer_of(case: Any, path: Path) -> Path:
    """Its transformer alone, in diffusers' layout."""
    return write(path, case.make().transformer.state_dict())


def problem(path: Path, base: Path | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_model(str(path), base=None if base is None else str(base))
    line = str(caught.value).removeprefix(f"model '{path}' ")
    assert "\n" not in line
    return line if base is None else line.replace(str(base), "BASE")


def loaded(path: Path, base: Path) -> Any:
    recipe = Recipe(model=str(path), base=str(base), device="cpu", dtype="float32")
    model: Any = load_model(recipe, inspect_model(str(path), base=str(base)))
    return model


def same_picture(model: Any, pipe: Any) -> None:
    other: Any = wrap_pipeline(pipe)
    settings = {"window": (64, 64), "size": (64, 64), "steps": 2}
    assert apart(run(stage_on(model, **settings)), run(stage_on(other, **settings))) <= 1e-4


@pytest.mark.parametrize("of", OWN_LAYOUT, ids=str)
def test_a_transformer_on_a_base(of: Any, folder_of: Callable[[Any], Path], tmp_path: Path) -> None:
    path = transformer_of(of, tmp_path / "net.safetensors")
    info = inspect_model(str(path), base=str(folder_of(of)))
    expected = info_of_pipeline(of.make())
    for name in ("kind", "window", "scheduler", "channels", "scaling_factor", "takes_guidance"):
        assert getattr(info, name) == getattr(expected, name), name
    assert info.denoiser_parameters == sum(each.numel() for each in of.make().transformer.state_dict().values())
    assert info.parameters > info.denoiser_parameters
    assert info.notes[0].startswith(f"configured as '{folder_of(of)}', whose vae, text_encoder")
    pipe = loaded(path, folder_of(of)).pipe
    ours, theirs = pipe.transformer.state_dict(), of.make().transformer.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_transformer_in_its_makers_layout(folder_of: Callable[[Any], Path], tmp_path: Path) -> None:
    for case, layout in ((SD3[1], sd3_transformer), (Z_IMAGE[0], z_image_transformer)):
        base = folder_of(case)
        path = write(tmp_path / f"{case.name}.safetensors", inner(layout(case.make().transformer)))
        same_picture(loaded(path, base), case.make())
        assert set(layers_of_model(str(path)).values()) == {None}


@pytest.mark.parametrize("of", [CHROMA[0], DEV, SCHNELL], ids=str)
def test_a_transformer_in_the_layout_of_flux(of: Any, folder_of: Callable[[Any], Path], tmp_path: Path) -> None:
    """As `flux1-dev.safetensors` is; diffusers' converter knows the width of the real ones alone."""
    net = of.make().transformer
    path = write(tmp_path / "net.safetensors", flux_transformer(net))
    assert inspect_model(str(path), base=str(folder_of(of))).kind == of.kind
    with converted_at(net):
        ours = loaded(path, folder_of(of)).pipe.transformer.state_dict()
    assert ours.keys() == net.state_dict().keys()
    assert all(torch.equal(ours[name], each) for name, each in net.state_dict().items())
    assert set(layers_of_model(str(path)).values()) == {None}


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    """A pipeline, its folder, and the file that holds all its parts, as Stability publishes them."""
    from fusionkit.models.silence import quiet_diffusers

    root = tmp_path_factory.mktemp("sd3")
    given = dict(SD3[1].make().components)
    with quiet_diffusers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        encoders = {"text_encoder": narrow_clip(16), "text_encoder_2": narrow_clip(12)}
        # Such files have no projection of CLIP-L, which is the identity.
        encoders["text_encoder"].text_projection.weight.data = torch.eye(16)
        pipe: Any = diffusers.StableDiffusion3Pipeline(**{**given, **encoders})
    pipe.save_pretrained(root / "folder")
    left = {"text_projection.weight"}
    clip_l = {name: each for name, each in clip_weights(pipe.text_encoder, "clip_l").items() if name[-22:] not in left}
    path = write(
        root / "all.safetensors",
        inner(sd3_transformer(pipe.transformer)),
        vae_weights(pipe.vae),
        clip_l,
        clip_weights(pipe.text_encoder_2, "clip_g"),
        t5_weights(pipe.text_encoder_3),
    )
    return pipe, root / "folder", path


def test_all_in_one_file(sd3: tuple[Any, Path, Path], tmp_path: Path) -> None:
    """Nothing of the base is read but its configuration: there need be no weights."""
    pipe, folder, path = sd3
    base = shutil.copytree(folder, tmp_path / "base", ignore=shutil.ignore_patterns("*.safetensors"))
    info = inspect_model(str(path), base=str(base))
    assert info.notes == (f"configured as '{base}' (base)",)
    model = loaded(path, base)
    for part in ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"):
        ours, theirs = getattr(model.pipe, part).state_dict(), getattr(pipe, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
    same_picture(model, pipe)


def test_a_file_with_some_parts(sd3: tuple[Any, Path, Path], tmp_path: Path) -> None:
    """Transformer and autoencoder, as 3.5 large comes: the text encoders are the base's."""
    pipe, folder, _ = sd3
    path = write(tmp_path / "some.safetensors", inner(sd3_transformer(pipe.transformer)), vae_weights(pipe.vae))
    info = inspect_model(str(path), base=str(folder))
    assert info.notes == (
        f"configured as '{folder}', whose text_encoder, text_encoder_2, text_encoder_3 it is used with (base)",
    )
    same_picture(loaded(path, folder), pipe)
    assert problem(path) == (
        "holds a Stable Diffusion 3 model without its text_encoder, text_encoder_2; say where those are, as a folder "
        "or a hub id: base: stabilityai/stable-diffusion-3.5-medium"
    )


@pytest.mark.parametrize(
    ("of", "base"),
    [
        (DEV, "black-forest-labs/FLUX.1-dev"),
        (SCHNELL, "black-forest-labs/FLUX.1-schnell"),
        (Z_IMAGE[0], "Tongyi-MAI/Z-Image-Turbo"),
        (QWEN[0], "Qwen/Qwen-Image"),
    ],
    ids=["dev", "schnell", "z-image", "qwen"],
)
def test_a_transformer_alone(of: Any, base: str, tmp_path: Path) -> None:
    line = problem(transformer_of(of, tmp_path / "net.safetensors"))
    assert line.endswith(f"; say where those are, as a folder or a hub id: base: {base}")
    assert " model without its vae, text_encoder" in line


def test_bases_that_do_not_fit(folder_of: Callable[[Any], Path], tmp_path: Path) -> None:
    dev, schnell = (transformer_of(case, tmp_path / f"{case.name}.safetensors") for case in (DEV, SCHNELL))
    own = "name the base that it was made from"
    assert problem(dev, folder_of(SCHNELL)) == f"has guidance_embeds True, and its base 'BASE' False; {own}"
    assert problem(schnell, folder_of(DEV)) == f"has guidance_embeds False, and its base 'BASE' True; {own}"
    assert (
        problem(dev, folder_of(SD3[0])) == f"is a Flux.1 model, and its base 'BASE' is a Stable Diffusion 3 one; {own}"
    )
    assert problem(dev, folder_of(OVIS[0])).startswith(
        "is a single file, and diffusers loads none of Ovis-Image, which"
    )
    assert problem(dev, tmp_path / "nowhere").startswith("model 'BASE': no such folder, and no hub id")
    assert problem(dev, schnell).startswith("has a file for its base, 'BASE'; name a folder")
    wide = tmp_path / "fill.safetensors"
    shapes = {**DEV.make().transformer.state_dict(), "x_embedder.weight": torch.zeros(32, 384)}
    assert problem(write(wide, shapes), folder_of(DEV)) == f"has in_channels 384, and its base 'BASE' 64; {own}"
    with pytest.raises(ModelError, match=r"is no .safetensors file, which alone can have a base; leave 'base' out"):
        inspect_model(str(folder_of(DEV)), base=str(folder_of(DEV)))


def test_files_that_would_load_wrong(folder_of: Callable[[Any], Path], tmp_path: Path) -> None:
    weights = DEV.make().transformer.state_dict()
    path = write(tmp_path / "fp8.safetensors", {**weights, "scaled_fp8": torch.zeros(2)})
    assert problem(path).startswith(
        "has quantised weights ('scaled_fp8'), of which diffusers would leave out the scales"
    )
    some = {name: each for name, each in weights.items() if "to_k" not in name}
    path = write(tmp_path / "some.safetensors", some)
    with pytest.raises(ModelError) as caught:
        loaded(path, folder_of(DEV))
    assert str(caught.value).startswith(f"model '{path}'")
    save_file({"lora_unet.up.weight": torch.zeros(4, 4)}, tmp_path / "lora.safetensors")
    assert problem(tmp_path / "lora.safetensors", folder_of(DEV)).startswith("holds no denoiser in a known layout, and")


def test_a_recipe_names_a_base_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give each model its own: models.NAME.base"):
        Recipe(models={"one": "a/b", "two": "c/d"}, base="e/f")
    spec = Recipe(model="a.safetensors", base="e/f").specs["model"]
    assert spec.sources == ["a.safetensors", "e/f"]
