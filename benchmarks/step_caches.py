"""What diffusers' step caches save and cost, beside a run with fewer steps of the same time.

Panoramas of the embedded models, of a transformer and of a UNet. Each picture is compared, in latents, with the one of
the same seed that takes five times as many steps: the share of its standard deviation by which it differs. A cache pays
where it differs less than a plain run that takes as long.

Run it:  python benchmarks/step_caches.py --json out/step-caches.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig
from diffusers.hooks.hooks import CacheContext, HookRegistry, _set_cache_context
from diffusers.hooks.taylorseer_cache import apply_taylorseer_cache
from experiments import markdown
from worlds import WORLDS

from fusionkit import Fusion
from fusionkit_multidiffusion import MultiDiffusion

STEPS = 20
MANY = 5 * STEPS
SIZE = (384, 128)
# Of a UNet: the layers at half of its resolution and below, which are most of its time.
# TaylorSeer answers a tensor where a layer answers a tuple of one, as attentions do; the blocks in them answer tensors.
DEEP = (
    r"(down_blocks\.[12]|mid_block|up_blocks\.[01])\.resnets\.\d+",
    r"(down_blocks\.[12]|mid_block|up_blocks\.[01])\.attentions\.\d+\.transformer_blocks\.\d+",
)
BLOCKS = (r"(single_)?transformer_blocks\.\d+",)


@dataclass(frozen=True)
class Setting:
    """What is drawn.

    Args:
        title: As the table has it.
        steps: Sampling steps.
        cache: A configuration of diffusers, given which layers; None for none.
    """

    title: str
    steps: int = STEPS
    cache: Callable[[Sequence[str]], Any] | None = None


def taylor(interval: int, order: int) -> Callable[[Sequence[str]], Any]:
    """TaylorSeer: layers are asked in every so many steps, and extrapolated between."""
    return lambda layers: TaylorSeerCacheConfig(
        cache_interval=interval,
        disable_cache_before_step=3,
        max_order=order,
        taylor_factors_dtype=torch.float32,
        cache_identifiers=list(layers),
    )


def first_block(threshold: float) -> Callable[[Sequence[str]], Any]:
    """The first-block cache, as a recipe's `cache` puts it on."""
    return lambda layers: FirstBlockCacheConfig(threshold=threshold)


PLAIN = [Setting(f"{steps} steps", steps) for steps in (20, 16, 13, 10, 7)]
TAYLOR = [
    Setting("TaylorSeer, every 2nd step, order 0", cache=taylor(2, 0)),
    Setting("TaylorSeer, every 2nd step, order 1", cache=taylor(2, 1)),
    Setting("TaylorSeer, every 3rd step, order 1", cache=taylor(3, 1)),
]
FIRST = [Setting(f"first block {threshold}", cache=first_block(threshold)) for threshold in (0.05, 0.1, 0.2)]


@dataclass(frozen=True)
class Network:
    """A model with its scheduler, the settings tried with it, and its layers that a cache can leave out."""

    title: str
    world: str
    settings: Sequence[Setting]
    layers: Sequence[str]
    part: str = field(default="unet")


NETWORKS = (
    Network("vista/scenes, a UNet", "vista", [*PLAIN, *TAYLOR], DEEP),
    Network("vista/flow, a transformer", "vista-flow", [*PLAIN, *FIRST, *TAYLOR], BLOCKS, "transformer"),
)


@contextmanager
def cached(model: Any, network: Network, setting: Setting) -> Iterator[None]:
    """The cache on the model's denoiser, with a context for each batch of views."""
    if setting.cache is None:
        yield
        return
    denoiser = getattr(model.pipe, network.part)
    if network.part == "transformer":
        denoiser.enable_cache(setting.cache(network.layers))
        try:
            yield
        finally:
            denoiser.disable_cache()
        return
    # UNets have no caches of their own, but for layers that are hooked by name.
    apply_taylorseer_cache(denoiser, setting.cache(network.layers))
    conditions, forward = model.conditions, denoiser.forward
    told: list[str] = []

    def watched(stage: Any, views: Any, *rest: Any) -> Any:
        told[:] = [str(hash((tuple(views), model.conditional_rows)))]
        return conditions(stage, views, *rest)

    def in_context(*args: Any, **kwargs: Any) -> Any:
        _set_cache_context(denoiser, CacheContext(told[0]))
        return forward(*args, **kwargs)

    model.conditions, denoiser.forward = watched, in_context
    try:
        yield
    finally:
        del model.conditions, denoiser.forward
        for module in denoiser.modules():
            if isinstance(getattr(module, "_diffusers_hook", None), HookRegistry):
                module._diffusers_hook.remove_hook("taylorseer_cache", recurse=False)


def measured(network: Network, pictures: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of the processor in the denoiser, and the difference to many steps, of each setting's pictures."""
    world = WORLDS[network.world]
    fusion = Fusion.from_pretrained(
        world.model, plugins=[MultiDiffusion(stride=64)], size=SIZE, scheduler=world.scheduler
    )
    found: dict[str, dict[str, list[float]]] = {
        each.title: {"seconds": [], "difference": []} for each in network.settings
    }
    for case in world.cases(pictures):

        def drawn(setting: Setting, prompt: str = case.prompt, seed: int = case.number) -> tuple[torch.Tensor, float]:
            (model,) = fusion.models_for(fusion.recipe).values()
            with cached(model, network, setting):
                began = process_time()
                latents = fusion(prompt, seed=seed, steps=setting.steps, progress=False).latents
                return latents, process_time() - began

        best, _ = drawn(Setting("", MANY))
        for setting in network.settings:
            latents, seconds = drawn(setting)
            found[setting.title]["seconds"].append(seconds)
            found[setting.title]["difference"].append(float((latents - best).std() / best.std()))
        print(table({network.title: found}), flush=True)
    return found


def table(found: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> str:
    """The figures in Markdown."""
    rows = []
    for title, settings in found.items():
        whole = statistics.median(next(iter(settings.values()))["seconds"])
        for name, values in settings.items():
            share, differs = statistics.median(values["seconds"]) / whole, values["difference"]
            spread = 1.96 * statistics.stdev(differs) / len(differs) ** 0.5 if len(differs) > 1 else float("nan")
            rows.append([title, name, f"{share:.2f}", f"{statistics.mean(differs):.3f} ± {spread:.3f}"])
    return markdown(["model", "setting", "time", "difference to 100 steps"], rows)


def main() -> None:
    """Draw, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--json", type=Path, default=Path("out/step-caches.json"))
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    found = {network.title: measured(network, options.pictures) for network in NETWORKS}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1))
    print(table(found))


if __name__ == "__main__":
    main()
