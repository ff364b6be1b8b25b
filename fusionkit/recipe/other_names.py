"""What other tools call the options of a recipe: from their names to ours, or to what to do instead."""

from __future__ import annotations

from collections.abc import Iterable

from fusionkit.errors import did_you_mean

_SAME = {
    "scheduler": "sampler sampler-name sampling-method sampler-index scheduler-name scheduler-type",
    "steps": "num-inference-steps num-steps inference-steps sampling-steps ddim-steps sample-steps steps-count",
    "guidance-scale": "cfg cfg-scale guidance scale unconditional-guidance-scale",
    "guidance-interval": "cfg-interval guidance-range limited-interval guidance-limits",
    "seed": "manual-seed noise-seed random-seed generator rng-seed",
    "size": "resolution image-size dimensions",
    "model": "checkpoint ckpt ckpt-name model-name model-id sd-model model-path base-model "
    "pretrained-model-name-or-path",
    "prompt": "prompts text positive positive-prompt",
    "negative-prompt": "negative negatives negative-prompts neg-prompt",
    "loras": "lora lora-weights adapters lora-path",
    "dtype": "torch-dtype precision data-type",
    "output": "outdir output-dir output-path output-file filename save-path",
    "vae-tiling": "tiled-vae vae-slicing enable-vae-tiling vae-tile",
    "offload": "cpu-offload enable-model-cpu-offload low-vram lowvram medvram",
    "window": "tile tile-size tile-width tile-height view-size",
    "batch-size": "view-batch-size tile-batch-size",
}
_NAMES = {theirs: ours for ours, names in _SAME.items() for theirs in names.split()}
_ENLARGED = "a picture that is drawn small and enlarged is a plugin: plugins: [progressive-upscaling: {times: 2}]"
_SEVERAL = "{seeds} draws one for each seed; each prompt of a list is a picture, too"
_EXPLAINED = {
    **dict.fromkeys(
        ("hires-fix", "enable-hr", "hr-scale", "hr-upscaler", "highres-fix", "upscale-by", "upscale"), _ENLARGED
    ),
    **dict.fromkeys(("batch-count", "num-images", "num-images-per-prompt", "n-iter", "n-samples"), _SEVERAL),
    "width": "width and height are one option: size: 1024x512",
    "height": "width and height are one option: size: 1024x512",
    "guidance-rescale": "rescaled guidance is not there; a lower 'guidance-scale' burns less, too",
    "vae": "the model's own VAE is used; save a folder with another one: pipe.vae = ..., pipe.save_pretrained(folder)",
    "clip-stop-at-last-layers": "here it is 'clip-skip', and counts the layers left out: 2 of a web UI is 1 here",
    "eta": "it belongs to the scheduler: scheduler: {ddim: {eta: 1.0}}",
    "use-karras-sigmas": "it belongs to the scheduler: scheduler: {dpm++-2m: {use-karras-sigmas: true}}",
    "fp16": "here it is dtype: float16, or variant: fp16 for files that are stored so",
    "half": "here it is dtype: float16",
    "stride": "it belongs to the plugin that makes windows: plugins: [{multidiffusion: {stride: 64}}]",
    "overlap": "it belongs to the plugin that makes windows: plugins: [{multidiffusion: {stride: 64}}]",
    "controlnet": "it is a plugin: plugins: [controlnet: {...}]",
    "image": "a picture to begin with belongs to a plugin: plugins: [image-to-image: {from: photo.png}]",
    "init-image": "a picture to begin with belongs to a plugin: plugins: [image-to-image: {from: photo.png}]",
    "strength": "it belongs to a plugin: plugins: [image-to-image: {from: photo.png, strength: 0.6}]",
    "denoising-strength": "it belongs to a plugin: plugins: [image-to-image: {from: photo.png, strength: 0.6}]",
    "denoise": "it belongs to a plugin, as its strength: plugins: [image-to-image: {from: photo.png, strength: 0.6}]",
    "denoise-strength": "it belongs to a plugin: plugins: [image-to-image: {from: photo.png, strength: 0.6}]",
    "seeds": "one is 'seed'; {seeds} draws a picture for each of several",
    "aspect-ratio": "say the size itself: size: 1024x512",
    "embedding": "textual inversion is loaded into a pipeline, which Fusion.from_pipe takes",
    "karras": "it is a part of the scheduler's name: scheduler: dpm++-2m-karras",
    "refiner": "refiners are not there; a second model in some of the steps is a plugin: saliency-noise-blending",
    "variation-seed": "variations are not there; image-to-image with a small strength varies a picture",
    "mask": "what is drawn anew belongs to a plugin: plugins: [inpaint: {from: photo.png, mask: mask.png}]",
    "mask-image": "what is drawn anew belongs to a plugin: plugins: [inpaint: {from: photo.png, mask: mask.png}]",
    "tiling": "edges that meet are a plugin: plugins: [ring: {axes: xy}]",
    "circular-padding": "edges that meet are a plugin: plugins: [ring]",
    "embeddings": "textual inversion is loaded into a pipeline, which Fusion.from_pipe takes",
    "textual-inversion": "textual inversion is loaded into a pipeline, which Fusion.from_pipe takes",
}


_TYPES = {
    "fp16": "float16",
    "half": "float16",
    "f16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "float": "float32",
}
_SEEDS = {False: "fusionkit run RECIPE --seeds 0-3", True: "fusion.many(seeds=range(4))"}


def meant(word: str, known: Iterable[str], *, python: bool = False) -> str:
    """What the writer of an unknown option of a recipe may have meant: `; here it is 'steps'`, or a near name.

    Args:
        word: The option, in any spelling.
        known: The options that there are.
        python: Whether it was written in Python, whose names have underscores.
    """
    known = list(known)
    spelled = word.lower().strip("-").replace("_", "-").replace(" ", "-")
    if spelled in _EXPLAINED:
        return f"; {_EXPLAINED[spelled].replace('{seeds}', _SEEDS[python])}"
    ours = spelled if spelled in known else _NAMES.get(spelled, "")
    if ours in known:
        return f"; here it is '{ours.replace('-', '_') if python else ours}'"
    hint = did_you_mean(spelled, known)
    return hint.replace("-", "_") if python else hint


def meant_flag(option: str, known: Iterable[str]) -> str:
    """What the writer of an unknown flag such as `--prompt` may have meant, where it is an option of a recipe; or "".

    Args:
        option: The flag.
        known: The options of a recipe.
    """
    known = list(known)
    spelled = option.lower().strip("-").replace("_", "-")
    if spelled in known:
        return f"'{option}' is an option of the recipe: --set {spelled}=..."
    ours = _NAMES.get(spelled, "")
    if ours in known:
        return f"'{option}' is an option of the recipe, '{ours}' by name: --set {ours}=..."
    if spelled not in _EXPLAINED:
        return ""
    return f"no option '{option}'{meant(option, known)}"


def meant_value(value: object) -> str:
    """What the writer of a value that is none of several words may have meant: `fp16` and torch's own are `float16`."""
    spelled = str(value).lower().removeprefix("torch.")
    return _TYPES.get(spelled, spelled)
