"""What other tools call the options of a recipe: from their names to ours, or to what to do instead."""

from __future__ import annotations

from collections.abc import Iterable

from fusionkit.errors import did_you_mean

_SAME = {
    "scheduler": "sampler sampler-name sampling-method sampler-index",
    "steps": "num-inference-steps num-steps inference-steps sampling-steps ddim-steps",
    "guidance-scale": "cfg cfg-scale guidance scale unconditional-guidance-scale",
    "guidance-interval": "cfg-interval guidance-range limited-interval guidance-limits",
    "seed": "manual-seed noise-seed random-seed generator",
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
_EXPLAINED = {
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
    "mask": "what is drawn anew belongs to a plugin: plugins: [inpaint: {from: photo.png, mask: mask.png}]",
    "mask-image": "what is drawn anew belongs to a plugin: plugins: [inpaint: {from: photo.png, mask: mask.png}]",
    "tiling": "edges that meet are a plugin: plugins: [ring: {axes: xy}]",
    "circular-padding": "edges that meet are a plugin: plugins: [ring]",
    "batch-count": "each prompt of a list is a picture; for several seeds run it again with --seed",
    "num-images-per-prompt": "each prompt of a list is a picture; for several seeds run it again with --seed",
    "n-iter": "each prompt of a list is a picture; for several seeds run it again with --seed",
    "embeddings": "textual inversion is loaded into a pipeline, which Fusion.from_pipe takes",
    "textual-inversion": "textual inversion is loaded into a pipeline, which Fusion.from_pipe takes",
}


def meant(word: str, known: Iterable[str]) -> str:
    """What the writer of an unknown option of a recipe may have meant: `; here it is 'steps'`, or a near name.

    Args:
        word: The option, in any spelling.
        known: The options that there are.
    """
    known = list(known)
    spelled = word.lower().strip("-").replace("_", "-").replace(" ", "-")
    if spelled in _EXPLAINED:
        return f"; {_EXPLAINED[spelled]}"
    ours = _NAMES.get(spelled, "")
    return f"; here it is '{ours}'" if ours in known else did_you_mean(word, known)


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
    return f"no option '{option}'; {_EXPLAINED[spelled]}" if spelled in _EXPLAINED else ""
