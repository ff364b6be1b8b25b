"""Prompts on the command line: what is told of their syntax and length, and the options that other tools have."""

from __future__ import annotations

import json
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
        ("sampler_name", "here it is 'scheduler'"),
        ("denoise", "it belongs to a plugin, as its strength: plugins: [image-to-image: {from: photo.png, strength"),
        ("denoising_strength", "it belongs to a plugin: plugins: [image-to-image: {from: photo.png, strength: 0.6}]"),
        ("init_image", "a picture to begin with belongs to a plugin: plugins: [image-to-image: {from: photo.png}]"),
        ("mask_image", "what is drawn anew belongs to a plugin: plugins: [inpaint: {from: photo.png, mask: mask.png}]"),
        (
            "hires_fix",
            "a picture that is drawn small and enlarged is a plugin: plugins: [progressive-upscaling",
        ),
        ("tiling", "edges that meet are a plugin: plugins: [ring: {axes: xy}]"),
        ("n_iter", "{seeds} draws one for each seed; each prompt of a list is a picture, too"),
        ("batch_count", "{seeds} draws one for each seed; each prompt of a list is a picture, too"),
        ("nothing_like_it", "'fusionkit schema' tells all that it has"),
    ],
)
def test_options_of_other_tools_are_translated(folder: Path, fusionkit: Run, key: str, hint: str) -> None:
    from fusionkit import Fusion, RecipeError

    Path("r.yaml").write_text(f"{MODEL}{key}: 3\n")
    here = f"a recipe has no option '{key}'; {hint}"
    problem = here.format(seeds="fusionkit run RECIPE --seeds 0-3") if "{seeds}" in here else here
    assert fusionkit("validate", "r.yaml").err.startswith(f"r.yaml:2:1: {problem}")
    Path("r.yaml").write_text(MODEL)
    assert fusionkit("validate", "r.yaml", "--set", f"{key}=3").err.startswith(f"--set {key}: {problem}")
    python = key.replace("-", "_")
    with pytest.raises(RecipeError) as caught:
        Fusion.from_pretrained("tinyworld/scenes", **{python: 3})
    there = here.replace("{seeds}", "fusion.many(seeds=range(4))").replace(f"'{key}'", f"'{python}'", 1)
    assert str(caught.value).startswith(there.replace("'guidance-scale'", "'guidance_scale'"))
    assert len(str(caught.value)) < 200


def test_python_s_spelling_is_translated_in_a_file(folder: Path, fusionkit: Run) -> None:
    Path("r.yaml").write_text(f"{MODEL}clip_skip: 1\n")
    assert fusionkit("validate", "r.yaml").err == (
        "r.yaml:2:1: a recipe has no option 'clip_skip'; here it is 'clip-skip'\n"
    )


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ("scheduler=DPM++ 2M Karras", "did you mean 'dpm++-2m-karras'?"),
        ("scheduler=dpmpp_2m_sde_gpu", "did you mean 'dpm++-2m-sde'?"),
        ("scheduler=euler_ancestral", "did you mean 'euler-a'?"),
        ("scheduler=Euler a", "did you mean 'euler-a'?"),
        ("scheduler=dpm_2_ancestral", "did you mean 'kdpm2-a'?"),
        ("dtype=fp16", "did you mean 'float16'?"),
        ("dtype=torch.bfloat16", "did you mean 'bfloat16'?"),
        ("device=gpu", "did you mean 'cuda'?"),
        ("plugins.ring.axes=x", "to add it, set it as a whole: plugins.ring={axes: ...}"),
    ],
)
def test_values_of_other_tools_are_translated(folder: Path, fusionkit: Run, change: str, hint: str) -> None:
    Path("r.yaml").write_text(MODEL)
    ran = fusionkit("validate", "r.yaml", "--set", change)
    assert ran.code == 2
    assert ran.err.rstrip().endswith(f"; {hint}")
    assert ran.err.startswith(f"--set {change.partition('=')[0]}: ")


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--negative-prompt", "'--negative-prompt' is an option of the recipe: --set negative-prompt=..."),
        ("--scheduler", "'--scheduler' is an option of the recipe: --set scheduler=..."),
        (
            "--n-iter",
            "no option '--n-iter'; fusionkit run RECIPE --seeds 0-3 draws one for each seed; each prompt of a",
        ),
        ("--cfg-scale", "'--cfg-scale' is an option of the recipe, 'guidance-scale' by name: --set guidance-scale=..."),
        ("--width", "no option '--width'; width and height are one option: size: 1024x512"),
    ],
)
def test_flags_that_are_options_of_a_recipe(folder: Path, fusionkit: Run, flag: str, hint: str) -> None:
    ran = fusionkit("run", "panorama-tinyworld", flag, "3")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"Error: {hint}")


def test_prompt_size_and_steps_have_flags(folder: Path, fusionkit: Run) -> None:
    Path("r.yaml").write_text(f"{MODEL}prompt: [the sea, a city]\nsteps: 9\n")
    flags = ("--prompt", "a photo: of the sea, at noon", "--steps", "2", "--size", "128x64", "--seed", "4")
    recipe = json.loads(fusionkit("plan", "r.yaml", *flags, "--json").out)["recipe"]
    assert (recipe["prompt"], recipe["steps"], recipe["size"], recipe["seed"]) == (flags[1], 2, "128x64", 4)
    assert fusionkit("validate", "r.yaml", *flags).out == "r.yaml: valid (1 picture, 128x64, 0 plugins)\n"
    assert fusionkit("validate", "r.yaml", "--size", "7").err.startswith("--size: 'size' must be")
    assert fusionkit("validate", "r.yaml", "--steps", "0").err == "--steps: 'steps' must be at least 1, not 0\n"
    both = fusionkit("run", "r.yaml", "--prompt", "a", "--prompts", "p.txt")
    assert (both.code, both.err) == (2, "--prompt and --prompts: give one of them\n")


def test_several_seeds_are_told_their_flag(folder: Path, fusionkit: Run) -> None:
    ran = fusionkit("run", "panorama-tinyworld", "--seed", "0-8")
    assert ran.code == 2
    assert "'0-8' is several seeds, of which each draws a picture: fusionkit run RECIPE --seeds 0-8" in ran.err


def test_loras_are_looked_into_by_validate(folder: Path, fusionkit: Run) -> None:
    Path("toy.safetensors").write_bytes(b"no")
    Path("r.yaml").write_text(f"{MODEL}loras: [{{path: toy.safetensors}}]\n")
    for command in ("validate", "plan", "run"):
        ran = fusionkit(command, "r.yaml")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("r.yaml:2:8: LoRA 'toy.safetensors' is damaged, or no safetensors file")
        assert ran.err.count("\n") == 1


def test_comparisons_and_measurements_tell_notes_too(fusionkit: Run) -> None:
    note = "'prompt': '[hill]' is taken as written: "
    changes = ("--set", "prompt=a [hill]", "--set", "steps=1")
    ran = fusionkit("bench", "r.yaml", *changes, "--runs", "1", "-q")
    assert (ran.code, ran.err.startswith(f"note: --set prompt: {note}"), ran.err.count(note)) == (0, True, 1), ran.err
    vary = ("--vary", "plugins.style-alignment.alpha=0,1", "--seeds", "0", "--metrics", "variance", "-q")
    ran = fusionkit("compare", "r.yaml", *changes, *vary)
    assert (ran.code, ran.err.startswith(f"note: --set prompt: {note}"), ran.err.count(note)) == (0, True, 1), ran.err
    Path("c.yaml").write_text("recipe: r.yaml\nset: {prompt: 'a [hill]'}\nsettings: {A: {}, B: {steps: 2}}\n")
    ran = fusionkit("validate", "c.yaml")
    assert (ran.code, ran.err.count(note), ran.err.endswith("(setting 'A')\n")) == (0, 1, True), ran.err
