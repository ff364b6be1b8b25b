"""The base of every metric: what it is called, what it needs, and how it scores a set of pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from fusionkit.evaluation.needs import NEEDS, unmet
from fusionkit.plugin import kebab
from fusionkit.recipe.recipe import Part
from fusionkit.recipe.values import Count

if TYPE_CHECKING:
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

Better = Literal["lower", "higher", "closer-to-1", "none"]
CropStep = Annotated[
    Count | None,
    Field(
        description="Pixels from one crop to the next; none has them side by side, as in the papers. With a few pixels "
        "some crops lie across every border of the windows, which crops side by side may all miss.",
    ),
]
"""An option of metrics that look at crops, for `Picture.crops` and `Tools.pooled`."""


class Metric(Part):
    """A measure of a set of pictures, as an object whose fields are its options.

    Evaluation calls `problems` once, before anything is computed; `describe` once for each picture, which is the
    expensive part; and `score` many times, for the value and for every bootstrap resample, so that it must be cheap.

    A subclass is known by its own name in kebab-case (`StyleLoss`: `style-loss`), or by the one it gives:
    `class FID(Metric, name="fid")`. It sets the class variables below and is offered through the entry point group
    `fusionkit.metrics`.
    """

    metric_name: ClassVar[str] = "metric"
    title: ClassVar[str] = ""
    """What tables call it; the class's name where a subclass says nothing."""
    better: ClassVar[Better] = "none"
    needs: ClassVar[frozenset[str]] = frozenset()
    """What it can't do without, of:

    `reference`: pictures to compare the set with; `partner`: a picture of the same name to compare each one with;
    `prompt`; `views`: where the windows of the last stage were; `crop`: the size that the model was trained at;
    and of the feature network `features` (of whole crops), `feature-maps`, `perceptual-distance` and `class-scores`."""
    unit: ClassVar[str] = ""
    any_size: ClassVar[bool] = False
    """Whether the pictures of a set may be of several sizes, as where each is looked at by itself, whole."""
    least: ClassVar[int] = 1
    """The fewest pictures, of the set and of the reference, that give a score."""
    resamples: ClassVar[int] = 500
    """Bootstrap resamples for the interval; fewer where a score takes long."""

    weights: ClassVar[tuple[str, ...]] = ()
    """Names of weights of its own that a local file may be given for (`--weights NAME=FILE`); it finds them in
    `tools.weights`."""
    libraries: ClassVar[Mapping[str, str]] = {}
    """Modules that it computes with and that need not be installed, and what `pip install` takes to bring each:
    `{"sklearn": "fusionkit[metrics]"}`. Where one is missing, that is said before anything is computed."""
    reference_varies: ClassVar[bool] = False
    """Whether the reference is resampled too, for a score such as a ratio of two samples. Otherwise it stays as it is:
    the interval is that of the set against this very reference."""

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.metric_name = name or kebab(cls.__name__)
        if "title" not in vars(cls):
            cls.title = cls.__name__
        if unknown := set(cls.needs) - NEEDS:
            raise TypeError(f"metric '{cls.metric_name}' needs {sorted(unknown)}; known are {sorted(NEEDS)}")

    @classmethod
    def __pydantic_init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """Why these pictures can't be scored, one line each, without the metric's name; nothing is computed yet.

        The base checks `needs`, `least` and `any_size`; a subclass adds its own lines to these.
        """
        return unmet(self.needs, self.least, pictures, reference, tools, any_size=self.any_size)

    @abstractmethod
    def describe(self, picture: Picture, tools: Tools) -> Any:
        """What `score` needs of one picture: a number, or an array such as the features of its crops, (n, D).

        Where it is a number, it is the picture's own value of the metric; NaN says that this picture has none.
        """

    def each(self, described: Any) -> float:
        """The picture's own value, from what `describe` answered; NaN where only a set has one."""
        return described if isinstance(described, float) else nan

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The value of a set, from what `describe` answered; by default the mean of the numbers that are not NaN.

        Args:
            described: One entry a picture; a bootstrap resample holds some of them several times.
            reference: One entry for each picture of the reference; empty where the metric needs none.
        """
        values = [float(value) for value in described if not isnan(value)]
        return sum(values) / len(values) if values else nan
