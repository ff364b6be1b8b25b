"""Whether a picture shows what its prompt says, by the classifier of the embedded world: CLIP score's offline twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.errors import did_you_mean
from fusionkit.recipe.prompt_syntax import words_alone
from fusionkit_tinyworld.captions import COLOURS, OBJECTS, SCENES, STYLES, TIMES, vocabulary
from fusionkit_vista.agreement import JudgedAgreement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


class Agreement(JudgedAgreement, name="tinyworld-agreement"):
    """The share of a picture's crops in which the classifier of `tinyworld` sees all that the prompt says.

    That is style, scene and time of day, as far as the prompt names them, and the object and its colour if it names
    one. Without a download, and for pictures of the embedded world alone.
    """

    title: ClassVar[str] = "agreement"
    world, side = "tinyworld", 64

    def prompt_problems(self, prompt: str) -> list[str]:
        """Why the classifier can't judge by a prompt."""
        return prompt_problems(prompt)

    def network(self, tools: Tools) -> Classifier:
        """The classifier."""
        return _classifier(tools.weights.get(self.world), tools.device)

    def agrees(self, network: Classifier, crops: NDArray[np.uint8], prompt: str) -> list[bool]:
        """Whether the classifier sees in each crop all that the prompt says."""
        asked = asked_for(prompt)
        return [all(crop[field] == word for field, word in asked.items()) for crop in network.classify(crops)]


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
