"""Whether a picture shows what its prompt says, by the judge of the embedded world `vista`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.errors import FusionError
from fusionkit.evaluation.metric import Better, CropStep, Metric
from fusionkit.recipe.prompt_syntax import words_alone

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools
    from fusionkit_vista.judge import Judge, Seen


class JudgedAgreement(Metric):
    """The share of a picture's crops in which a network that knows an embedded world sees all that the prompt says."""

    title: ClassVar[str] = "agreement"
    better: ClassVar[Better] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"prompt", "crop"})
    world: ClassVar[str]
    """The world's name, under which other weights may be given."""
    side: ClassVar[int]
    """Pixels of a crop's side, as the network sees it."""

    crop_step: CropStep = None

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, prompts that nothing can be judged by, and weights that are none."""
        problems = super().problems(pictures, reference, tools)
        prompts = dict.fromkeys(picture.prompt for picture in pictures if picture.prompt)
        problems += [line for prompt in prompts for line in self.prompt_problems(prompt)][:3]
        if problems:
            return problems
        try:
            self.network(tools)
        except FusionError as error:
            return str(error).splitlines()
        return []

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The share of the picture's crops, 0..1."""
        import numpy as np

        from fusionkit.evaluation.features import resized

        crops = resized(picture.crops(self.crop_step), (self.side, self.side)).round().clip(0, 255).astype(np.uint8)
        return float(np.mean(self.agrees(self.network(tools), crops, picture.prompt or "")))

    @abstractmethod
    def prompt_problems(self, prompt: str) -> list[str]:
        """Why nothing can be judged by a prompt; none where it can."""

    @abstractmethod
    def network(self, tools: Tools) -> Any:
        """What looks at the crops.

        Raises:
            FusionError: Its weights are none.
        """

    @abstractmethod
    def agrees(self, network: Any, crops: NDArray[np.uint8], prompt: str) -> list[bool]:
        """Whether each crop (n, side, side, 3) shows all that the prompt says."""


class Agreement(JudgedAgreement, name="vista-agreement"):
    """The share of a picture's crops in which the judge of `vista` sees all that the prompt says.

    That is style, scene, time of day and weather, as far as the prompt names them, and the things and their number if
    it names one. Without a download, and for pictures of the embedded world alone.
    """

    title: ClassVar[str] = "agreement"
    world, side = "vista", 128

    def prompt_problems(self, prompt: str) -> list[str]:
        """Why the judge can't judge by a prompt."""
        return prompt_problems(prompt)

    def network(self, tools: Tools) -> Judge:
        """The judge."""
        return _judge(tools.weights.get(self.world), tools.device)

    def agrees(self, network: Judge, crops: NDArray[np.uint8], prompt: str) -> list[bool]:
        """Whether the judge sees in each crop all that the prompt says."""
        asked = asked_for(prompt)
        return [shows(seen, asked) for seen in network.judge(crops)]


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
