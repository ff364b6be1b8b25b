"""Whether a picture shows what its prompt says, by the classifier of the embedded world: CLIP score's offline twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.errors import FusionError, did_you_mean
from fusionkit.evaluation.metric import Better, Metric
from fusionkit.recipe.prompt_syntax import words_alone
from fusionkit_tinyworld.captions import COLOURS, OBJECTS, SCENES, STYLES, TIMES, vocabulary

if TYPE_CHECKING:
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools
    from fusionkit_tinyworld.classifier import Classifier

WORDS: Mapping[str, Sequence[str]] = {
    "style": STYLES,
    "scene": SCENES,
    "time": TIMES,
    "thing": OBJECTS,
    "colour": tuple(dict.fromkeys(colour for colours in COLOURS.values() for colour in colours if colour)),
}
"""The words that say each field of a `Landscape`."""


class Agreement(Metric, name="tinyworld-agreement"):
    """The share of a picture's crops in which the classifier of `tinyworld` sees all that the prompt says.

    That is style, scene and time of day, as far as the prompt names them, and the object and its colour if it names
    one. Without a download, and for pictures of the embedded world alone.
    """

    title: ClassVar[str] = "agreement"
    better: ClassVar[Better] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"prompt", "crop"})

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, prompts that the classifier can't judge, and weights that are none."""
        problems = super().problems(pictures, reference, tools)
        prompts = dict.fromkeys(picture.prompt for picture in pictures if picture.prompt)
        problems += [line for prompt in prompts for line in prompt_problems(prompt)][:3]
        if problems:
            return problems
        try:
            _classifier(tools.weights.get("tinyworld"), tools.device)
        except FusionError as error:
            return str(error).splitlines()
        return []

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The share of the picture's crops, 0..1."""
        import numpy as np

        from fusionkit.evaluation.features import resized
        from fusionkit_tinyworld.features import SIZE

        crops = resized(picture.crops(), SIZE).round().clip(0, 255).astype(np.uint8)
        seen = _classifier(tools.weights.get("tinyworld"), tools.device).classify(crops)
        asked = asked_for(picture.prompt or "")
        return float(np.mean([all(crop[field] == word for field, word in asked.items()) for crop in seen]))


def asked_for(prompt: str) -> dict[str, str]:
    """What a prompt says, by the fields of a `Landscape`: "a photo of the sea" is a style and a scene."""
    words = words_alone(prompt).lower().replace(",", " ").split()
    return {field: word for field, known in WORDS.items() for word in words if word in known}


def prompt_problems(prompt: str) -> list[str]:
    """Why the classifier can't judge by a prompt, in one line; none where it can."""
    words = words_alone(prompt).lower().replace(",", " ").split()
    if unknown := [word for word in words if word not in _vocabulary()]:
        hint = did_you_mean(unknown[0], _vocabulary()) or f"; it says such things as {_EXAMPLE!r}"
        return [f"needs prompts in the vocabulary of tinyworld; {prompt!r} has {unknown[0]!r}{hint}"]
    for field, known in WORDS.items():
        if len(named := [word for word in known if word in words]) > 1:
            return [f"needs prompts that name one {field}; {prompt!r} names {' and '.join(named)}"]
    if not asked_for(prompt):
        return [f"needs prompts that say what is to be seen; {prompt!r} names nothing that the classifier knows"]
    return []


_EXAMPLE = "a landscape photo of mountains at noon"


@lru_cache(maxsize=1)
def _vocabulary() -> frozenset[str]:
    return frozenset(vocabulary())


@lru_cache(maxsize=2)
def _classifier(path: Any, device: str) -> Classifier:
    from fusionkit_tinyworld.features import classifier_of

    return classifier_of(path, device)
