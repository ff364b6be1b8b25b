"""How colourful a picture is, as Hasler and Suesstrunk measured it against what people say."""

from __future__ import annotations

from pydantic import Field

from fusionkit.evaluation import Metric, Picture, Tools


class Colourfulness(Metric):
    """How colourful a picture is: 0 for a grey one, about 100 for an extremely colourful one."""

    better = "higher"

    mean_weight: float = Field(default=0.3, ge=0, description="What the distance from grey counts beside the spread.")

    def describe(self, picture: Picture, tools: Tools) -> float:
        """The spread of the opponent colours, and how far they are from grey (Hasler and Suesstrunk 2003, eq. 1)."""
        import numpy as np

        red, green, blue = np.moveaxis(picture.pixels().astype(np.float64), -1, 0)
        opponents = red - green, (red + green) / 2 - blue
        spread = np.hypot(*(each.std() for each in opponents))
        distance = np.hypot(*(each.mean() for each in opponents))
        return float(spread + self.mean_weight * distance)
