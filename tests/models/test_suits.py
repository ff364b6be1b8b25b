"""Options that a model can't follow are refused by its configuration alone; what was guessed of it is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import CHECKPOINTS, plain, run, stage_on

from fusionkit.errors import RecipeError
from fusionkit.models.inspect import info_of_pipeline, inspect_model
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.recipe import Recipe
from fusionkit.recipe.recipe_file import parse_recipe
from fusionkit.runs.checks import check_file
from fusionkit.runs.run import prepare

IN = "model.diffusion_model.input_blocks.0.0.weight"
XL = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"


def validated(source: Path, clip_skip: int) -> list[str]:
    """What `validate` says, which is what a run says before its weights load."""
    with pytest.raises(RecipeError) as caught:
        check_file(parse_recipe(f"model: {source}\nprompt: a\nclip-skip: {clip_skip}\n", "mine"))
    with pytest.raises(RecipeError) as prepared:
        prepare(Recipe(prompt="a", clip_skip=clip_skip), inspect_model(str(source)))
    assert len(prepared.value.problems) == len(caught.value.problems)
    return [line.partition(": ")[2] for line in caught.value.problems]


@pytest.mark.parametrize(("kind", "most"), [("sd", 2), ("sdxl", 1)])
def test_as_many_layers_as_there_are_can_be_left_out(kind: str, most: int) -> None:
    source = CHECKPOINTS / f"tiny-{kind}"
    assert inspect_model(str(source)).most_clip_skip == most
    assert info_of_pipeline(plain(kind)).most_clip_skip == most
    for skip in range(1, most + 1):
        assert run(stage_on(wrap_pipeline(plain(kind), clip_skip=skip), steps=1)).isfinite().all()
    said = f"the text encoder of model '{source}' has no so many layers to leave out; {most} is the most"
    assert any(said in line for line in validated(source, most + 1))


def test_no_layers_of_other_encoders(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "model"))
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "bert"}))
    assert any("is none of CLIP; leave it out" in line for line in validated(folder, 1))


def single(tmp_path: Path, *marks: str) -> Path:
    path = tmp_path / "model.safetensors"
    shapes = {IN: (320, 4, 3, 3), XL: (1280,), **dict.fromkeys(marks, (0,))}
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    return path


def test_the_marks_of_a_single_file(tmp_path: Path) -> None:
    info = inspect_model(str(single(tmp_path, "v_pred")))
    assert make_scheduler(info, None, 4, "cpu").init_noise_sigma == pytest.approx((1 + 4.1167**2) ** 0.5, abs=1e-3)
    info = inspect_model(str(single(tmp_path, "v_pred", "ztsnr")))
    scheduler = make_scheduler(info, None, 4, "cpu")
    assert scheduler.init_noise_sigma == pytest.approx((1 + 5.4622**2) ** 0.5, abs=1e-3)
    assert scheduler.config["prediction_type"] == "v_prediction"
    assert info.notes == (
        "trained at 1024x1024 pixels, as such models are (window)",
        "scheduler EulerDiscreteScheduler (scheduler)",
        "predicts v_prediction by the file's mark 'v_pred' (scheduler.NAME.prediction-type)",
        "begins at zero signal by the file's mark 'ztsnr' (scheduler.NAME.rescale-betas-zero-snr)",
    )


def test_zero_signal_without_a_prediction_that_can_begin_there(tmp_path: Path) -> None:
    path = single(tmp_path, "ztsnr")
    with pytest.raises(RecipeError, match=r"begins at pure noise \(rescale_betas_zero_snr\), of which a model that"):
        check_file(parse_recipe(f"model: {path}\nprompt: a\n", "mine"))


def test_what_is_guessed_is_told_by_plan(tmp_path: Path) -> None:
    from fusionkit.cli.plan import describe

    info = inspect_model(str(single(tmp_path, "v_pred", "ztsnr")))
    recipe = Recipe(prompt="a", steps=5)
    lines = describe(prepare(recipe, info), [recipe]).splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith("assumed")] == [info.notes[0]]
    assert all(any(note in line for line in lines) for note in info.notes)
