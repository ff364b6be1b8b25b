"""The plugin `ip-adapter`: diffusers' own where the canvas is one window, and only where it is told elsewhere."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny_kolors
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from from_pictures import SEED, OfTheSeed, drawing, plan_on, run_on
from on_families import apart
from PIL import Image
from torch import Tensor

from fusionkit import Patches, Recipe, View
from fusionkit.models.adapters import looking as looking_module
from fusionkit.models.adapters import unet_model
from fusionkit.models.adapters.looking import Looking
from fusionkit.models.attention import capture
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.silence import quiet_diffusers
from fusionkit.pictures.inputs import fingerprint, fingerprints
from fusionkit.runs.run import execute
from fusionkit.testing import tiny_controlnet, tiny_pipeline
from fusionkit.testing.tiny import KINDS, Kind
from fusionkit.testing.tiny_adapter import save_tiny_adapter
from fusionkit_accdiffusion import ControlNet, ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, VarianceCorrectedFusion
from fusionkit_ipadapter import IPAdapter
from fusionkit_ipadapter.places import mask_of
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_regions import Regions

TELL = 1e-4


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of tiny adapters, by kind, and "plus" before it for those that look at the encoder's own tokens."""
    folder = tmp_path_factory.mktemp("adapters")
    return {
        f"{'plus ' * plus}{kind}": save_tiny_adapter(folder / kind, tiny_pipeline(kind).unet, resampler=plus)
        for kind in KINDS
        for plus in (False, True)
    }


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return [drawing(folder / f"{seed}.png", (48, 40), seed) for seed in range(3)]


def left_half(path: Path, size: tuple[int, int]) -> Path:
    image = Image.new("L", size, 0)
    image.paste(255, (0, 0, size[0] // 2, size[1]))
    image.save(path)
    return path


def theirs(pipe: Any, stage: Any, files: list[Path], shown: list[list[Path]], scale: Any, **given: Any) -> Tensor:
    """Latents of diffusers' own pipeline with adapters, each shown pictures."""
    with quiet_diffusers():
        pipe = deepcopy(pipe)
        pipe.scheduler = getattr(diffusers, stage.scheduler.name).from_config(stage.scheduler.config)
        pipe.load_ip_adapter(str(files[0].parent), "", [file.name for file in files])
        pipe.set_ip_adapter_scale(scale)
        found: Tensor = pipe(
            "a hill",
            num_inference_steps=stage.recipe.steps,
            guidance_scale=4.0,
            height=stage.plan.size[1],
            width=stage.plan.size[0],
            generator=torch.Generator().manual_seed(SEED),
            ip_adapter_image=[[Image.open(path) for path in paths] for paths in shown],
            output_type="latent",
            **given,
        ).images
    return found


def masks(pairs: list[list[Path]]) -> dict[str, Any]:
    made = [IPAdapterMaskProcessor().preprocess([Image.open(path) for path in each], 64, 64) for each in pairs]
    return {"cross_attention_kwargs": {"ip_adapter_masks": [each.reshape(1, -1, 64, 64) for each in made]}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plus", ["", "plus "])
def test_it_is_diffusers_own_in_one_window(adapters: Any, pictures: list[Path], kind: Kind, plus: str) -> None:
    file = adapters[plus + kind]
    own = IPAdapter(adapter=str(file), picture=tuple(pictures[:2]), scale=0.7)
    plan, latents = run_on(tiny_pipeline(kind), [own, OfTheSeed()], size=(64, 64), steps=3)
    stage = plan.stages[0]
    assert apart(latents, theirs(tiny_pipeline(kind), stage, [file], [pictures[:2]], 0.7)) < TELL
    _, without = run_on(tiny_pipeline(kind), [OfTheSeed()], size=(64, 64), steps=3)
    assert apart(latents, without) > 100 * TELL


@pytest.mark.parametrize("kind", KINDS)
def test_two_with_masks_are_diffusers_own(adapters: Any, pictures: list[Path], tmp_path: Path, kind: Kind) -> None:
    files = [adapters[kind], adapters[f"plus {kind}"]]
    left = left_half(tmp_path / "left.png", (64, 64))
    upper = tmp_path / "upper.png"
    Image.fromarray(np.array(Image.open(left)).T).save(upper)
    plugins = [
        IPAdapter(adapter=str(files[0]), picture=pictures[0], scale=0.9, mask=left),
        IPAdapter(adapter=str(files[1]), picture=pictures[1], scale=0.9, box=(0, 0, 1, 0.5), soft_border=0),
    ]
    plan, latents = run_on(tiny_pipeline(kind), [*plugins, OfTheSeed()], size=(64, 64), steps=3)
    shown = [[pictures[0]], [pictures[1]]]
    expected = theirs(tiny_pipeline(kind), plan.stages[0], files, shown, [0.9, 0.9], **masks([[left], [upper]]))
    assert apart(latents, expected) < TELL


def test_it_is_diffusers_own_with_kolors(pictures: list[Path], tmp_path: Path) -> None:
    """Whose UNet projects the text itself."""
    pipe = tiny_kolors.CASES[0].make()
    file = save_tiny_adapter(tmp_path, pipe.unet, resampler=True)
    own = IPAdapter(adapter=str(file), picture=pictures[0], scale=0.7)
    size = info_of_pipeline(pipe).window
    plan, latents = run_on(pipe, [own, OfTheSeed()], size=size, steps=2)
    assert apart(latents, theirs(pipe, plan.stages[0], [file], [pictures[:1]], 0.7)) < TELL
    assert apart(latents, theirs(pipe, plan.stages[0], [file], [pictures[:1]], 0.0)) > 100 * TELL


def test_a_scale_by_block_is_diffusers_own(adapters: Any, pictures: list[Path]) -> None:
    scale = {"up": {"block_1": [0.0, 1.5]}, "mid": 0.5}
    own = IPAdapter(adapter=str(adapters["sd"]), picture=pictures[0], scale=scale)
    plan, latents = run_on(tiny_pipeline("sd"), [own, OfTheSeed()], size=(64, 64), steps=3)
    expected = theirs(tiny_pipeline("sd"), plan.stages[0], [adapters["sd"]], [pictures[:1]], scale)
    everywhere = theirs(tiny_pipeline("sd"), plan.stages[0], [adapters["sd"]], [pictures[:1]], 1.5)
    assert apart(latents, expected) < TELL < apart(latents, everywhere)


def test_halves_that_are_told_two_pictures_differ_only_where_they_are_told(adapters: Any, pictures: list[Path]) -> None:
    """In one step: later ones see what their neighbours became."""

    def predicted(left: Path | None, right: Path | None) -> Tensor:
        halves = {(0, 0, 0.5, 1): left, (0.5, 0, 0.5, 1): right}
        plugins = [
            IPAdapter(adapter=str(adapters["sd"]), picture=picture, box=box, soft_border=0)
            for box, picture in halves.items()
            if picture is not None
        ]
        tiled = MultiDiffusion(stride=64)
        return run_on(tiny_pipeline("sd"), [tiled, *plugins, OfTheSeed()], size=(192, 64), steps=1, batch_size=2)[1]

    nothing, first, both = predicted(None, None), predicted(pictures[0], None), predicted(pictures[0], pictures[1])
    other = predicted(pictures[2], pictures[1])
    # Windows of 8 latent pixels: the first sees the left half alone, the last the right one, the middle one both.
    assert first[..., 16:].equal(nothing[..., 16:])
    assert both[..., :8].equal(first[..., :8])
    assert other[..., 16:].equal(both[..., 16:])
    for some, others, place in (
        (first, nothing, slice(0, 8)),
        (both, first, slice(16, 24)),
        (other, both, slice(0, 8)),
    ):
        assert apart(some[..., place], others[..., place]) > 1e-3
    assert first[..., 8:16].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes_at_scale_0_and_nothing_is_left_on_the_model(
    adapters: Any, pictures: list[Path], kind: Kind
) -> None:
    model = wrap_pipeline(tiny_pipeline(kind))
    unet = tiny_pipeline(kind).unet
    before = {name: type(each) for name, each in unet.attn_processors.items()}, list(unet.state_dict())

    def run(*plugins: Any) -> tuple[Tensor, int]:
        passes = model.forward_passes
        found = execute(plan_on(tiny_pipeline(kind), list(plugins), size=(160, 64), steps=2), model)
        return found, model.forward_passes - passes

    without, passes = run()
    file, picture = str(adapters[kind]), pictures[0]
    neutral, counted = run(IPAdapter(adapter=file, picture=picture, scale=0))
    assert neutral.equal(without)
    assert counted == passes
    told, counted = run(IPAdapter(adapter=file, picture=picture))
    assert apart(told, without) > 0.01
    assert counted == passes
    assert run()[0].equal(without)
    assert ({name: type(each) for name, each in unet.attn_processors.items()}, list(unet.state_dict())) == before


def test_another_scale_makes_no_more_processors(
    adapters: Any, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    join = looking_module._joined

    def noting(parts: Any) -> Any:
        made.append(parts)
        return join(parts)

    monkeypatch.setattr(looking_module, "_joined", noting)
    (stage,) = plan_on(tiny_pipeline("sd"), [], size=(64, 64)).stages
    stage.model = wrap_pipeline(tiny_pipeline("sd"))
    shown = IPAdapter(adapter=str(adapters["sd"]), picture=pictures[0]).shown(stage)
    group = Patches((View(0, 0, 8, 8),), latents=stage.noise("views", (1, 4, 8, 8)), prompts=["a hill"])

    def told(scale: float) -> Tensor:
        group.image_prompts = (replace(shown, scales=dict.fromkeys(shown.layers, scale)),)
        return stage.model.predict(stage, stage.steps[0], group)

    found = [told(scale) for scale in (0.2, 0.6, 0.2)]
    assert len(made) == len(shown.layers)
    assert found[0].equal(found[2])
    assert apart(found[0], found[1]) > 1e-3


def masks_seen(monkeypatch: pytest.MonkeyPatch, plugins: list[Any], **fields: Any) -> list[Any]:
    """What each batch of a run was shown: for each picture, the mean of the mask of each of the batch's rows."""
    seen: list[Any] = []
    made = unet_model.looking

    def noting(batch: Any, like: Tensor) -> Any:
        rows = made(batch, like)
        seen.append([] if rows is None else [each.mean((1, 2, 3)).tolist() for each in rows.masks])
        return rows

    monkeypatch.setattr(unet_model, "looking", noting)
    run_on(tiny_pipeline("sd"), [*plugins, OfTheSeed()], **{"steps": 1, "guidance_scale": 1.0, **fields})
    return seen


def test_each_window_sees_its_own_part_of_a_mask_also_across_a_rings_edge(
    adapters: Any, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = IPAdapter(adapter=str(adapters["sd"]), picture=pictures[0], box=(0.75, 0, 0.5, 1), soft_border=0)
    (batch,) = masks_seen(monkeypatch, [Ring(), MultiDiffusion(stride=64), own], size=(192, 64))
    # The box goes from pixel 144 over the edge to 48.
    assert batch == [pytest.approx([48 / 64, 0, 48 / 64], abs=1e-6)]


def test_a_regions_picture_is_seen_by_the_regions_views_alone(
    adapters: Any, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = Regions(
        boxes={
            "left": {"box": (0, 0, 0.5, 1), "prompt": "a boat", "soft_border": 0, "window": "shared"},
            "right": {"box": (0.5, 0, 0.5, 1), "prompt": "a kite", "soft_border": 0, "window": "shared"},
        }
    )
    own = IPAdapter(adapter=str(adapters["sd"]), picture=pictures[0], region="right")
    batches = masks_seen(monkeypatch, [MultiDiffusion(stride=32), regions, own], size=(128, 64), batch_size=8)
    # The middle one of three windows is predicted for both regions.
    assert batches == [[[0.0, 0.0, 1.0, 1.0]]]


def test_it_goes_with_stages_regions_rings_and_controlnets(adapters: Any, pictures: list[Path], tmp_path: Path) -> None:
    tiny_controlnet("sd").save_pretrained(tmp_path / "net")
    regions = Regions(boxes={"left": {"box": (0, 0, 0.4, 1), "prompt": "a boat"}})
    others: list[Any] = [
        ProgressiveUpscaling(),
        MultiDiffusion(stride=32),
        GuidedFusion(),
        VarianceCorrectedFusion(),
        regions,
        Ring(axes="x"),
        ControlNet(model=str(tmp_path / "net"), from_=pictures[1]),
    ]
    own = IPAdapter(adapter=str(adapters["sd"]), picture=pictures[0], mask=left_half(tmp_path / "m.png", (128, 64)))
    fields = {"size": (128, 64), "steps": 2, "scheduler": "euler-a"}
    plan, latents = run_on(tiny_pipeline("sd"), [*others, own], **fields)
    _, without = run_on(tiny_pipeline("sd"), others, **fields)
    assert len(plan.stages) == 2
    assert apart(latents, without) > 0.01
    assert latents.isfinite().all()


def test_a_lora_goes_on_acting_beside_a_picture(adapters: Any, pictures: list[Path]) -> None:
    pipe = deepcopy(tiny_pipeline("sd"))
    own = IPAdapter(adapter=str(adapters["sd"]), picture=pictures[0])
    _, plain = run_on(pipe, [own, OfTheSeed()], size=(64, 64), steps=2)
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q"
    weights = {f"unet.{layer}.lora_A.weight": torch.eye(2, 8), f"unet.{layer}.lora_B.weight": torch.eye(8, 2)}
    with quiet_diffusers():
        pipe.load_lora_weights({name: 3 * each for name, each in weights.items()})
    _, together = run_on(pipe, [own, OfTheSeed()], size=(64, 64), steps=2)
    _, alone = run_on(pipe, [OfTheSeed()], size=(64, 64), steps=2)
    assert min(apart(together, plain), apart(together, alone)) > 1e-3
    pipe.unload_lora_weights()
    # Without any picture, too, peft leaves the last bits otherwise.
    assert apart(run_on(pipe, [own, OfTheSeed()], size=(64, 64), steps=2)[1], plain) < TELL


def test_the_attention_to_words_is_still_heard(adapters: Any, pictures: list[Path]) -> None:
    """Plugins that read which words are looked at read the same words, and no tokens of the picture's."""
    (stage,) = plan_on(tiny_pipeline("sd"), [], size=(64, 64)).stages
    stage.model = wrap_pipeline(tiny_pipeline("sd"))
    own = IPAdapter(adapter=str(adapters["sd"]), picture=pictures[0])
    views = (View(0, 0, 8, 8),)
    group = Patches(views, latents=stage.noise("views", (1, 4, 8, 8)), prompts=["a hill"])

    def heard(shown: tuple[Any, ...]) -> Tensor:
        group.image_prompts = shown
        # In the first layer, which comes before any that looks at the picture.
        with capture(stage.model, 1, (8, 8), [1], layers={0}) as maps:
            stage.model.predict(stage, stage.steps[0], group)
        return maps.mean(1)

    with_it, without = heard((own.shown(stage),)), heard(())
    assert with_it.equal(without)
    assert float(with_it.sum()) > 1


def test_a_pictures_recipe_holds_what_tells_its_files(
    adapters: Any, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = left_half(tmp_path / "mask.png", (64, 64))
    own = IPAdapter(adapter=str(adapters["sd"]), picture=tuple(pictures[:2]), mask=mask)
    recipe = plan_on(tiny_pipeline("sd"), [own], size=(64, 64)).recipe
    expected = {str(path): fingerprint(path) for path in (adapters["sd"], *pictures[:2], mask)}
    assert fingerprints(recipe) == expected
    assert all(each.startswith("sha256:") for each in expected.values())
    # A folder, named without any sign that it is one.
    monkeypatch.chdir(adapters["sd"].parent.parent)
    recipe = Recipe(prompt="a hill", plugins=[IPAdapter(adapter="sd", picture=pictures[0])])
    assert fingerprints(recipe)["./sd"] == fingerprint(Path("sd")) != ""


@pytest.mark.parametrize("size", [(3, 10), (5, 3), (11, 7)])
def test_masks_have_one_value_for_each_token_whatever_the_features_shape(size: tuple[int, int]) -> None:
    mask = torch.rand(2, 1, 80, 96, generator=torch.Generator().manual_seed(0))
    (row,) = Looking([], [], [mask], size).at_size()
    assert row is not None
    # As diffusers' processor takes it, which otherwise guesses what the features' height is.
    found = IPAdapterMaskProcessor.downsample(row[:, 0], 2, size[0] * size[1], 4)
    expected = torch.nn.functional.interpolate(mask, size, mode="bicubic").flatten(1)
    assert found.equal(expected[..., None].expand(-1, -1, 4))


def test_a_mask_lies_on_the_picture_where_the_canvas_is_larger() -> None:
    (stage,) = plan_on(tiny_pipeline("sd"), [], size=(96, 64)).stages
    framed = replace(stage, plan=replace(stage.plan, frame=(90, 60)))
    mask = mask_of(framed, (0.5, 0, 0.5, 0.5), None, 0)
    assert mask is not None
    expected = torch.zeros(1, 1, 64, 96)
    expected[..., :30, 45:] = 1
    assert mask.equal(expected)
