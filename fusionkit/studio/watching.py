"""A live preview that ends its run when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from fusionkit.errors import Cancelled
from fusionkit.loop.hookspecs import hookimpl
from fusionkit.runs.live import LivePreview

if TYPE_CHECKING:
    from torch import Tensor


class Watching(LivePreview):
    """A live preview, and an end of the run before the next group of views is predicted.

    There, and not after a step, since what is done after a step is not done where the step is ended from within: so
    each step that is done is kept. And large steps have many groups.
    """

    ends: Callable[[], bool]

    @hookimpl(wrapper=True)
    def noise_prediction(self) -> Generator[None, Tensor, Tensor]:
        """Let the model predict, if the run goes on.

        Raises:
            Cancelled: It does not.
        """
        if self.ends():
            raise Cancelled("cancelled")
        return (yield)
