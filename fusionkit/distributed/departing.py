"""What a group's batches have in common, made ready to travel: given to the pool once, and again only if it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

from torch import Tensor

from fusionkit.distributed.carried import Carried
from fusionkit.distributed.pool import Pool
from fusionkit.distributed.values import Group, Listen, Look, RemoteLayers, RemoteNet, Shared, StageOf, Steer
from fusionkit.loop.patches import Control, ImagePrompt, Masked, Patches
from fusionkit.loop.stage import Stage
from fusionkit.models.adapters.batches import Halves
from fusionkit.models.adapters.steering import check_hints


class Departing:
    """For one model.

    Args:
        pool: The workers.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._given: dict[int, tuple[Any, Shared]] = {}
        self._stage: tuple[tuple[Any, ...], Shared] | None = None
        self._group: tuple[tuple[Any, ...], Shared] | None = None

    def stage(self, stage: Stage, *, masked: bool) -> Shared:
        """A stage without its plugins and its canvas.

        Args:
            stage: The stage.
            masked: Whether the model is told what is masked.
        """
        told = self._masked(stage.masked) if masked else None
        key = stage.recipe, stage.plan, stage.index, stage.finished, told
        if self._stage is None or not _alike(self._stage[0], key):
            bare = stage.recipe.model_copy(update={"plugins": []})
            given = StageOf(bare, stage.infos, stage.info, stage.plan, stage.index, stage.finished, told)
            self._stage = key, self._pool.share(given)
        return self._stage[1]

    def group(
        self,
        stage: Stage,
        patches: Patches,
        texts: Sequence[tuple[str, str]],
        halves: Halves,
        listens: Sequence[Listen],
        put: Carried | None,
        whose: str = "",
    ) -> Shared:
        """What all batches of a group have in common.

        Args:
            stage: The stage.
            patches: The group.
            texts: Each view's prompt and negative prompt.
            halves: Which outputs are wanted.
            listens: What is to be heard.
            put: What is to be on the layers.
            whose: Which plugins have put it there.

        Raises:
            PluginError: A control's hint does not cover the canvas.
        """
        check_hints([each for each in patches.controls if each.scale != 0], stage)
        controls = tuple(self._steer(each) for each in patches.controls if each.scale != 0)
        pictures = tuple(self._look(each) for each in patches.image_prompts)
        bare = None if put is None else put.alone()
        group = Group(tuple(texts), halves, controls, pictures, tuple(listens), bare, whose)
        key = group.texts, halves, controls, pictures, group.listens
        # Patches on layers change from step to step.
        if put is not None or self._group is None or self._group[0] != key:
            shared = self._pool.share(group)
            if put is not None:
                return shared
            self._group = key, shared
        return self._group[1]

    def _steer(self, control: Control) -> Steer:
        net = control.net
        if not isinstance(net, RemoteNet):
            net = self._share(net)
        return Steer(net, self._share(control.hint), control.scale)

    def _look(self, prompt: ImagePrompt) -> Look:
        layers = prompt.layers if isinstance(prompt.layers, RemoteLayers) else self._share(prompt.layers)
        mask = None if prompt.mask is None else self._share(prompt.mask)
        return Look(layers, self._share(prompt.tokens), dict(prompt.scales), mask, prompt.part)

    def _masked(self, masked: Masked) -> Shared:
        return self._share(masked, Masked(masked.mask.cpu(), masked.picture.cpu()))

    def _share(self, value: Any, sent: Any = None) -> Shared:
        """Give a value to the pool once, as long as it lives; a tensor by way of the CPU."""
        known = self._given.get(id(value))
        if known is None or known[0]() is not value:
            self._given = {key: each for key, each in self._given.items() if each[0]() is not None}
            sent = value.cpu() if sent is None and isinstance(value, Tensor) else value if sent is None else sent
            known = self._given[id(value)] = _held(value), self._pool.share(sent)
        return known[1]


def _held(value: Any) -> Any:
    """How a value is asked for that may be gone; what knows of no weak references stays."""
    try:
        return ref(value)
    except TypeError:
        return lambda: value


def _alike(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return some[0] is others[0] and some[1:] == others[1:]
