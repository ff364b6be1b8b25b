"""From a recipe, or a pipeline that its user already has, to a model that is ready to draw."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError
from fusionkit.loop.model import Model, ModelInfo
from fusionkit.models.devices import devices_of, pick_device, pick_dtype
from fusionkit.models.families import FAMILIES
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.lora.loras import add_loras, check_loras
from fusionkit.models.pipelines import load_pipeline as load_pipeline
from fusionkit.models.prompts.plan import length_problems
from fusionkit.models.sharing import Turns, denoiser_of, place, share_components

if TYPE_CHECKING:
    import torch

    from fusionkit.recipe.recipe import Cache, Recipe


def load_models(recipe: Recipe, infos: Mapping[str, ModelInfo]) -> dict[str, Model]:
    """Load the recipe's models onto their device, by the recipe's names.

    Names that mean one model share its weights, and what of two models is equal, such as the text encoder, is in
    memory once: N models cost N denoisers and nothing more. The main one's VAE is used for all.

    Raises:
        RecipeError: The device or the offload does not fit this machine, or a LoRA its model; all problems at once.
        ModelError: The weights, or a LoRA's, can't be loaded.
    """
    if problems := check_machine(recipe, infos, download=True):
        raise RecipeError(problems)
    if problems := length_problems(recipe):
        raise RecipeError(problems)
    import torch

    device = pick_device(devices_of(recipe)[0])
    pipes: dict[str, Any] = {}
    main = None
    for name, spec in recipe.specs.items():
        key = str(spec)
        if key not in pipes:
            pipes[key] = load_pipeline(
                spec.model,
                infos[name].kind,
                dtype=pick_dtype(recipe.dtype, device, FAMILIES[infos[name].kind].half),
                base=spec.base,
                revision=spec.revision,
                variant=spec.variant,
                vae=None if main is None else main.vae,
            )
            add_loras(pipes[key], spec.loras)
            if recipe.cache is not None:
                enable_cache(denoiser_of(pipes[key]), recipe.cache)
        main = main or pipes[key]
    assert main is not None, "a recipe names a model"
    distinct = list(pipes.values())
    share_components(distinct)
    if recipe.channels_last:
        for module in (*map(denoiser_of, distinct), main.vae):
            module.to(memory_format=torch.channels_last)
    place(distinct, device, recipe.offload)
    if recipe.compile:
        for pipe in distinct:
            denoiser_of(pipe).compile()
    options = {"vae_tiling": recipe.vae_tiling, "clip_skip": recipe.clip_skip}
    return wrap_pipelines({name: pipes[str(spec)] for name, spec in recipe.specs.items()}, infos, **options)


def load_model(recipe: Recipe, info: ModelInfo) -> Model:
    """Load the one model of a recipe onto its device; raises as `load_models` does."""
    (model,) = load_models(recipe, {"model": info}).values()
    return model


def wrap_pipelines(pipes: Mapping[str, Any], infos: Mapping[str, ModelInfo], **options: Any) -> dict[str, Model]:
    """A model of each pipeline, by name; of those that are offloaded, only the one at work is on the device.

    Args:
        pipes: Pipelines on their device; two names may have one.
        infos: What is known of them, by the same names.
        options: As for `wrap_pipeline`.
    """
    turns = Turns()
    return {name: _adapter(pipe, infos[name], turns=turns, **options) for name, pipe in pipes.items()}


def wrap_pipeline(
    pipe: Any, *, batch_size: int | None = None, vae_tiling: bool = False, clip_skip: int | None = None
) -> Model:
    """A model of a pipeline that its user already has; the pipeline stays as it is, its scheduler too.

    Args:
        pipe: A pipeline of a known family, on its device, with its LoRAs, hooks and types.
        batch_size: Views in one forward pass, unless the recipe says.
        vae_tiling: Decode in tiles.
        clip_skip: Layers of the text encoder to leave out.

    Raises:
        ModelError: It is another kind of pipeline.
    """
    return _adapter(pipe, info_of_pipeline(pipe), batch_size=batch_size, vae_tiling=vae_tiling, clip_skip=clip_skip)


def check_machine(recipe: Recipe, infos: Mapping[str, ModelInfo] | None = None, *, download: bool = False) -> list[str]:
    """What of a recipe's device, offload and LoRAs does not fit this machine; nothing is loaded.

    Args:
        recipe: The recipe.
        infos: What is known of its models, by name; None leaves out whether its LoRAs fit them.
        download: Fetch LoRAs from the hub, to look into them.
    """
    problems: list[str] = []
    devices = []
    for name in dict.fromkeys(devices_of(recipe)):
        try:
            devices.append(pick_device(name))
        except RecipeError as error:
            problems += error.problems
    for name, spec in recipe.specs.items():
        problems += check_loras(spec, (infos or {}).get(name), download=download)
    if recipe.offload != "none" and any(device.type == "cpu" for device in devices):
        problems.append(f"offload '{recipe.offload}' moves weights to a GPU when they are needed; there is none in use")
    return problems


def enable_cache(denoiser: Any, cache: Cache) -> None:
    """Put a step cache on a transformer."""
    config = import_module("diffusers").FirstBlockCacheConfig(threshold=cache.first_block)
    denoiser.enable_cache(config)


def ready_device(recipe: Recipe, infos: Mapping[str, ModelInfo]) -> torch.device:
    """Where a recipe's models are to compute, once it is known that this machine can do what it asks.

    Raises:
        RecipeError: It can't; all problems.
    """
    if problems := check_machine(recipe, infos):
        raise RecipeError(problems)
    return pick_device(devices_of(recipe)[0])


def _adapter(pipe: Any, info: ModelInfo, **options: Any) -> Model:
    module, _, name = FAMILIES[info.kind].adapter.partition(":")
    adapter: Model = getattr(import_module(module), name)(pipe, info, **options)
    return adapter
