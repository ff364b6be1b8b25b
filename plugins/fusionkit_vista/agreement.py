"""Whether a picture shows what its prompt says, by the judge of the embedded world `vista`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.errors import FusionError
from fusionkit.evaluation.metric import Better, Metric
from fusionkit.recipe.prompt_syntax import words_alone

if TYPE_CHECKING:
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools
    from fusionkit_vista.judge import Judge, Seen


class Agreement(Metric, name="vista-agreement"):
    """The share of a picture's crops in which the judge of `vista` sees all that the prompt says.

    That is style, scene, time of day and weather, as far as the prompt names them, and the things and their number if
    it names one. Without a download, and for pictures of the embedded world alone.
    """

    title: ClassVar[str] = "agreement"
    better: ClassVar[Better] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"prompt", "crop"})

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, prompts that the judge can't judge by, and weights that are none."""
        problems = super().problems(pictures, reference, tools)
        prompts = dict.fromkeys(picture.prompt for picture in pictures if picture.prompt)
        problems += [line for prompt in prompts for line in prompt_problems(prompt)][:3]
        if problems:
            return problems
        try:
            _judge(tools.weights.get("vista"), tools.device)
        except FusionError as error:
            return str(error).splitlines()
        return []

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The share of the picture's crops, 0..1."""
        import numpy as np

        from fusionkit.evaluation.features import resized
        from fusionkit_vista.features import SIDE

        crops = resized(picture.crops(), (SIDE, SIDE)).round().clip(0, 255).astype(np.uint8)
        seen = _judge(tools.weights.get("vista"), tools.device).judge(crops)
        asked = asked_for(picture.prompt or "")
        return float(np.mean([shows(each, asked) for each in seen]))


def asked_for(prompt: str) -> dict[str, Any]:
    """What a prompt says, by the names of the judge's questions; "thing" is left out where the prompt has none.

    Raises:
        ValueError: If the prompt has words or parts that no caption has.
    """
    from fusionkit_vista.drawer import parse

    asked = parse(words_alone(prompt))
    return {name: value for name, value in asked.items() if value not in ("", None)}


def shows(seen: Seen, asked: dict[str, Any]) -> bool:
    """Whether all that is asked for is seen."""
    parts = ("style", "scene", "time", "weather", "number")
    right = all(getattr(seen, name) == asked[name] for name in parts if name in asked)
    return right and ("thing" not in asked or asked["thing"] in seen.things)


def prompt_problems(prompt: str) -> list[str]:
    """Why the judge can't judge by a prompt, in one line; none where it can."""
    try:
        asked = asked_for(prompt)
    except ValueError as error:
        return [f"needs prompts in the vocabulary of vista; {prompt!r} is none: {error}"]
    if not asked:
        return [f"needs prompts that say what is to be seen; {prompt!r} names nothing that the judge knows"]
    return []


@lru_cache(maxsize=2)
def _judge(path: Any, device: str) -> Judge:
    from fusionkit_vista.features import judge_of

    return judge_of(path, device)
