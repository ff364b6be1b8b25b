"""AccDiffusion v2's order of work: all that the recipe predicts, texts at each step, and a step for each batch."""

from __future__ import annotations

from typing import Any

import pytest
from drawings import STEPS, drawing

from fusionkit.bench.baselines import find
from fusionkit.models.schedulers.wrapper import DiffusersScheduler
from fusionkit_accdiffusion import DilatedSampling
from fusionkit_accdiffusion.published_order import PublishedOrder
from fusionkit_multidiffusion import MultiDiffusion


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "dpm++-2m"])
def test_it_draws_the_same_with_one_text_more_a_step_and_one_step_more_a_batch(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = drawing(MultiDiffusion(stride=48), DilatedSampling(), scheduler=scheduler, batch_size=4)
    noted = subject.note()
    views = noted.passes.views // 2 // STEPS  # guided
    counted = {"texts": 0, "steps": 0}
    model: Any = subject.model
    encode, step = model.encode_prompt, DiffusersScheduler.step

    def encoded(*args: Any) -> Any:
        counted["texts"] += 1
        return encode(*args)

    def stepped(*args: Any) -> Any:
        counted["steps"] += 1
        return step(*args)

    monkeypatch.setattr(model, "encode_prompt", encoded)
    monkeypatch.setattr(DiffusersScheduler, "step", stepped)
    subject.draw()
    assert counted == {"texts": 2, "steps": STEPS}
    found = PublishedOrder().contestants(subject, noted)
    assert [each.name.partition(", ")[2] for each in found] == ["4 views a pass", "1 view a pass"]
    for each, size in zip(found, (4, 1), strict=True):
        assert each.difference is not None
        assert each.difference < 1e-4
        assert each.passes is not None
        assert each.passes.views == noted.passes.views
        counted.update(texts=0, steps=0)
        each.run(None)  # type: ignore[arg-type]
        # The prompt and the negative one; the canvas' own step, and one for each batch of each group.
        groups = noted.plan.hooks.ask("views", stage=noted.plan.stages[0], at=noted.plan.stages[0].steps[0])
        assert sum(len(group.views) for group in groups) == views
        batches = sum(-(-len(group.views) // size) for group in groups)
        assert counted == {"texts": 2 * STEPS, "steps": STEPS * (1 + batches)}


def test_it_is_offered_by_its_name() -> None:
    assert isinstance(find("accdiffusion-order"), PublishedOrder)
