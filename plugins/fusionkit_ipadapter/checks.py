"""What can be said against a picture as a prompt before a model loads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fusionkit import Stage, picture_problems
from fusionkit.errors import ModelError, did_you_mean
from fusionkit.models.image_prompts.adapter import AdapterInfo, adapter_on_hub, called, find_adapter, read_adapter
from fusionkit.models.image_prompts.encoder import find_encoder
from fusionkit.recipe.span import span_problems
from fusionkit.trust import no_download
from fusionkit_ipadapter import blocks
from fusionkit_regions import Painted, regions_of
from fusionkit_regions.checks import box_problems, mask_problems

if TYPE_CHECKING:
    from fusionkit_ipadapter.ip_adapter import IPAdapter


def problems(plugin: IPAdapter, stage: Stage) -> Iterator[str]:
    """One line for each thing that makes no sense."""
    for picture in plugin.pictures:
        yield from picture_problems(picture, "picture")
    unets = [info for info in stage.infos.values() if info.convolutions]
    if not unets:
        named = " and ".join(info.name for info in stage.infos.values())
        yield f"it lets a UNet look at pictures, and {named} is a transformer; leave it out"
        return
    yield from _of_files(plugin, stage)
    for layers in dict.fromkeys(info.text_layers for info in unets if info.text_layers):
        yield from blocks.problems(plugin.scale, layers)
    yield from _of_place(plugin, stage)


def _of_files(plugin: IPAdapter, stage: Stage) -> Iterator[str]:
    adapter: AdapterInfo | None = None
    try:
        path, source, name = find_adapter(plugin.adapter, plugin.weight_name), plugin.adapter, plugin.weight_name
        if path is None and (refused := no_download()):
            yield f"{called(source, name)} {refused}"
            return
        adapter = adapter_on_hub(source, name) if path is None else read_adapter(source, name, path)
        if adapter is not None:
            lines = [line for info in stage.infos.values() for line in adapter.misfits(info)]
            yield from (f"{called(source, name)} {line}" for line in lines)
    except ModelError as error:
        yield from str(error).splitlines()
        return
    try:
        encoder = find_encoder(plugin.adapter, plugin.weight_name, plugin.encoder)
        if adapter is not None and (misfit := encoder.misfit(adapter)):
            yield misfit
    except ModelError as error:
        yield from str(error).splitlines()


def _of_place(plugin: IPAdapter, stage: Stage) -> Iterator[str]:
    name = plugin.pictures[0].name
    if plugin.box is not None:
        yield from box_problems(plugin.box, name, stage)
    elif plugin.mask is not None:
        yield from mask_problems(Painted(mask=plugin.mask), plugin.soft_border, name, stage)
    if plugin.region is not None:
        known = regions_of(stage)
        if not known:
            yield f"region '{plugin.region}' is none: the recipe has no regions; use 'box' or 'mask'"
        elif plugin.region not in known:
            hint = did_you_mean(plugin.region, known)
            yield f"no region is called '{plugin.region}'{hint}; there are: {', '.join(known)}"
    yield from span_problems(plugin.start, plugin.end, stage.sampling_steps)
