"""Prompts on the command line: what is told of their syntax and length, and the options that other tools have."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Run

MODEL = "model: tinyworld/scenes\n"


def test_what_is_taken_as_written_is_told(folder: Path, fusionkit: Run) -> None:
    Path("r.yaml").write_text(f"{MODEL}prompt: a (photo) of the (sea:1.3)\nnegative-prompt: '[hill]'\n")
    for command, *options in (("validate",), ("plan",), ("run", "-q", "--set", "steps=1")):
        ran = fusionkit(command, "r.yaml", *options)
        first, second, third = ran.err.splitlines()
        assert ran.code == 0
        assert first.startswith("note: r.yaml:2:9: 'prompt': '(photo)' is taken as written: such brackets are a weight")
        assert second.startswith("note: r.yaml:3:18: 'negative-prompt': '[hill]' is taken as written")
        assert third.startswith("note: r.yaml:3:18: 'negative-prompt': tinyworld/scenes does not know 'hill';")


def test_the_plan_tells_chunks_and_weights(folder: Path, fusionkit: Run) -> None:
    prompt = f"a (photo:1.3) of the sea at noon{', a photo of the sea at noon' * 3}"
    Path("r.yaml").write_text(f"{MODEL}prompt: [the sea, '{prompt}']\nnegative-prompt: {prompt[33:]}\n")
    lines = dict(line.split("  ", 1) for line in fusionkit("plan", "r.yaml").out.splitlines() if "  " in line)
    assert "prompt 1" not in lines
    told = "31 tokens, encoded in 2 chunks of at most 18; weights: 'photo' 1.3"
    assert lines["prompt 2"].strip() == told
    assert lines["negative"].strip().startswith("23 tokens, encoded in 2 chunks of at most 18")


def test_a_prompt_that_is_too_long_is_told_before_the_model_loads(folder: Path, fusionkit: Run) -> None:
    Path("r.yaml").write_text(f"{MODEL}prompt: {'sea ' * 1200}\n")
    problem = "needs 67 chunks of 18 tokens, and at most 64 are encoded; make it shorter"
    ran = fusionkit("plan", "r.yaml")
    assert (ran.code, ran.err) == (2, f"r.yaml:2:9: 'prompt': the prompt '{('sea ' * 8)[:30]}...' {problem}\n")
    ran = fusionkit("run", "r.yaml", "-q")
    assert ran.code != 0
    assert problem in ran.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("cfg_scale", "here it is 'guidance-scale'"),
        ("sampler", "here it is 'scheduler'"),
        ("num_inference_steps", "here it is 'steps'"),
        ("generator", "here it is 'seed'"),
        ("width", "width and height are one option: size: 1024x512"),
        ("guidance-rescale", "rescaled guidance is not there"),
        ("vae", "the model's own VAE is used; save a folder with another one"),
        ("gudance-scale", "did you mean 'guidance-scale'?"),
    ],
)
def test_options_of_other_tools_are_translated(folder: Path, fusionkit: Run, key: str, hint: str) -> None:
    from fusionkit import Fusion, RecipeError

    Path("r.yaml").write_text(f"{MODEL}{key}: 3\n")
    problem = f"a recipe has no option '{key}'; {hint}"
    assert fusionkit("validate", "r.yaml").err.startswith(f"r.yaml:2:1: {problem}")
    Path("r.yaml").write_text(MODEL)
    assert fusionkit("validate", "r.yaml", "--set", f"{key}=3").err.startswith(f"--set {key}: {problem}")
    python = key.replace("-", "_")
    with pytest.raises(RecipeError) as caught:
        Fusion.from_pretrained("tinyworld/scenes", **{python: 3})
    assert str(caught.value).startswith(problem.replace(f"'{key}'", f"'{python}'", 1))


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--prompt", "'--prompt' is an option of the recipe: --set prompt=..."),
        ("--steps", "'--steps' is an option of the recipe: --set steps=..."),
        ("--size", "'--size' is an option of the recipe: --set size=..."),
        ("--cfg-scale", "'--cfg-scale' is an option of the recipe, 'guidance-scale' by name: --set guidance-scale=..."),
        ("--width", "no option '--width'; width and height are one option: size: 1024x512"),
    ],
)
def test_flags_that_are_options_of_a_recipe(folder: Path, fusionkit: Run, flag: str, hint: str) -> None:
    ran = fusionkit("run", "panorama-tinyworld", flag, "3")
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == f"Error: {hint}"


def test_loras_are_looked_into_by_validate(folder: Path, fusionkit: Run) -> None:
    Path("toy.safetensors").write_bytes(b"no")
    Path("r.yaml").write_text(f"{MODEL}loras: [{{path: toy.safetensors}}]\n")
    for command in ("validate", "plan", "run"):
        ran = fusionkit(command, "r.yaml")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("r.yaml:2:8: LoRA 'toy.safetensors' is damaged, or no safetensors file")
        assert ran.err.count("\n") == 1
