"""A prompt for the views above the horizon and another one for those below."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkit import Field, Patches, Plugin, Prompt, Stage, View, Wrapper, hookimpl


class SkyAndSea(Plugin):
    """Give the views above the horizon one prompt, and the views below it another."""

    above: str | None = Field(
        default=None, description="Prompt of the views above the horizon; none is the recipe's prompt."
    )
    below: str | None = Field(
        default=None, description="Prompt of the views below the horizon; none is the recipe's prompt."
    )
    horizon: float = Field(
        default=0.5, ge=0, le=1, description="Where the horizon is: 0 is the top edge, 1 the bottom edge."
    )

    @hookimpl(wrapper=True)
    def prompt_per_patch(self, stage: Stage, patches: Patches) -> Wrapper[Sequence[str | Prompt]]:
        """Replace the prompts of those views for which an option names one."""
        prompts = yield
        return [self.prompt_of(view, stage) or prompt for view, prompt in zip(patches.views, prompts, strict=True)]

    def prompt_of(self, view: View, stage: Stage) -> str | None:
        """The prompt of a view: what counts is where its middle lies."""
        middle = view.top + view.height / 2
        return self.above if middle < self.horizon * stage.canvas[0] else self.below
