"""The stopwatch gives each moment to one part, and the memory's peak is found where it was."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fusionkit.bench import measure
from fusionkit.bench.measure import FORWARD, REST, Memory, Stopwatch, peak_memory

CPU = torch.device("cpu")
MEGABYTE = 2**20


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still unless it is told."""
    hands = SimpleNamespace(time=100.0)
    monkeypatch.setattr(measure, "perf_counter", lambda: hands.time)
    return hands


def test_every_moment_counts_for_the_innermost_part(clock: SimpleNamespace) -> None:
    with Stopwatch(CPU) as watch:
        clock.time += 1
        with watch.part("outer"):
            clock.time += 2
            with watch.part("inner"):
                clock.time += 4
            clock.time += 8
        clock.time += 16
    assert watch.seconds == {REST: 17, "outer": 10, "inner": 4, FORWARD: 0}
    assert watch.total == 31


def test_what_models_tell_of_their_passes_is_taken_from_the_part_at_work(clock: SimpleNamespace) -> None:
    model = SimpleNamespace(forward_seconds=7.0)  # spent before, in another run
    with Stopwatch(CPU) as watch:
        watch.follow([model])  # type: ignore[list-item]
        with watch.part("prediction"):
            clock.time += 5
            model.forward_seconds += 4
    assert watch.seconds == {REST: 0, "prediction": 1, FORWARD: 4}


def test_what_lies_between_parts_can_be_given_to_one(clock: SimpleNamespace) -> None:
    with Stopwatch(CPU) as watch:
        clock.time += 1
        watch.between("fusion")
        clock.time += 2
        with watch.part("other"):
            clock.time += 4
        clock.time += 8
        watch.between(REST)
        clock.time += 16
    assert watch.seconds == {REST: 17, "fusion": 10, "other": 4, FORWARD: 0}


def test_a_part_that_fails_is_left(clock: SimpleNamespace) -> None:
    def fail() -> None:
        clock.time += 2
        raise ValueError("no")

    with Stopwatch(CPU) as watch:
        with pytest.raises(ValueError, match="no"), watch.part("failing"):
            fail()
        clock.time += 1
    assert watch.seconds == {"failing": 2, REST: 1, FORWARD: 0}


@pytest.mark.parametrize("how", ["kernel", "samples"])
def test_the_peak_is_that_of_the_block_and_not_of_what_came_before(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "samples":
        monkeypatch.setattr(measure, "_kernel_peak", lambda: None)
    large = np.ones(300 * MEGABYTE, np.uint8)
    del large
    with peak_memory() as memory:
        held = np.ones(100 * MEGABYTE, np.uint8)
        torch.zeros(2000, 2000) @ torch.zeros(2000, 2000)  # time enough to be seen
        del held
    assert 100 * MEGABYTE <= memory.growth < 180 * MEGABYTE
    assert memory.peak == memory.before + memory.growth


def test_a_block_that_frees_memory_grows_by_nothing() -> None:
    assert Memory(before=10, peak=7).growth == 0


def test_memory_is_known_after_an_error_too() -> None:
    with pytest.raises(KeyError), peak_memory("cpu") as memory:
        raise KeyError
    assert memory.peak >= memory.before > 0


def test_a_gpu_is_waited_for_at_each_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    with Stopwatch(torch.device("cuda:1")) as watch, watch.part("fusion"):
        pass
    assert waited == 4 * [torch.device("cuda:1")]


def test_on_cuda_the_peak_is_what_torch_allocates(monkeypatch: pytest.MonkeyPatch) -> None:
    # No GPU is needed to see that it is asked, set back before, and waited for.
    asked: list[str] = []
    answers = {"synchronize": None, "reset_peak_memory_stats": None, "memory_allocated": 7, "max_memory_allocated": 9}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, name=name, answer=answer: asked.append(name) or answer)
    with peak_memory("cuda:1") as memory:
        asked.append("the block")
    assert memory == Memory(before=7, peak=9)
    assert asked == [
        "synchronize",
        "reset_peak_memory_stats",
        "memory_allocated",
        "the block",
        "synchronize",
        "max_memory_allocated",
    ]
