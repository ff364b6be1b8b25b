"""What the training stages share: the schedule, the time box, checkpoints and the loop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Schedule:
    """Warm-up, stable, decay: the rate rises over `warmup` steps, stays, and falls linearly over the last `decay`.

    Because the stable phase does not depend on `steps`, a run that is resumed with another number of steps before
    its decay began equals one that was started with that number.
    """

    rate: float
    steps: int
    warmup: int
    decay: int

    def __call__(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        up = (step + 1) / self.warmup if self.warmup else 1.0
        down = (self.steps - step) / self.decay if self.decay else 1.0
        return self.rate * min(1.0, up, down)


class StoppedError(Exception):
    """Training stopped before its last step; the state is saved."""


@dataclass
class TimeBox:
    """Says when to stop: after `limit` seconds (None: never) or on Ctrl-C."""

    limit: float | None = None
    begun: float = field(default_factory=time.monotonic)
    interrupted: bool = False

    def is_over(self) -> bool:
        """Whether training has to stop now."""
        return self.interrupted or (self.limit is not None and time.monotonic() - self.begun >= self.limit)

    @contextmanager
    def catching_interrupts(self) -> Iterator[None]:
        """Turn the first Ctrl-C into a request to stop after the step; the second one raises as usual."""

        def request_stop(signum: int, frame: FrameType | None) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, previous)

        previous = signal.signal(signal.SIGINT, request_stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


@dataclass
class Stage:
    """A training stage: models that learn together, and the loss of a batch.

    `loss` takes a step's random generator and returns the loss to minimise and the figures to print. All
    randomness of a step comes from that generator, which the seed and the step's number determine; that is why a
    resumed run needs no generator state and equals an uninterrupted one.
    """

    name: str
    models: dict[str, nn.Module]
    loss: Callable[[np.random.Generator], tuple[torch.Tensor, dict[str, float]]]
    schedule: Schedule
    seed: int
    weight_decay: float = 1e-3
    ema_decay: float = 0.0
    """Decay of the running average of the weights; 0 keeps none."""
    ema: dict[str, nn.Module] = field(default_factory=dict)
    """The averaged models, of the same names as `models`; empty without averaging."""


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The random generator of a training step."""
    return np.random.default_rng((seed, step))


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator on the CPU, seeded from a step's generator."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))


def save_atomically(state: object, path: Path) -> None:
    """Write a torch file so that a crash while writing leaves the former file intact."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def run_stage(
    stage: Stage,
    checkpoint: Path,
    time_box: TimeBox,
    resume: bool = False,
    every: float = 120.0,
    on_checkpoint: Callable[[int], None] | None = None,
) -> None:
    """Train a stage to its last step, from its checkpoint where `resume` and there is one.

    A checkpoint is written every `every` seconds and at the end, and `on_checkpoint` is called with the number of
    steps done. Raises `StoppedError` when the time box is over first.
    """
    parameters: list[torch.Tensor] = [p for model in stage.models.values() for p in model.parameters()]
    averages: list[torch.Tensor] = [p for model in stage.ema.values() for p in model.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, stage.schedule.rate, betas=(0.9, 0.99), weight_decay=stage.weight_decay, fused=True
    )
    step = _load(stage, optimizer, checkpoint) if resume and checkpoint.exists() else 0

    def save() -> None:
        save_atomically(_state(stage, optimizer, step), checkpoint)

    first, begun, saved = step, time.monotonic(), time.monotonic()
    figures: list[dict[str, float]] = []
    with time_box.catching_interrupts():
        while step < stage.schedule.steps:
            if time_box.is_over():
                save()
                raise StoppedError(f"stage {stage.name}: stopped and saved at step {step} of {stage.schedule.steps}")
            for group in optimizer.param_groups:
                group["lr"] = stage.schedule(step)
            loss, logged = stage.loss(step_generator(stage.seed, step))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            if averages:
                with torch.no_grad():
                    torch._foreach_lerp_(averages, parameters, 1 - min(stage.ema_decay, (1 + step) / (10 + step)))
            step += 1
            figures.append(logged)
            if step % 100 == 0 or step == stage.schedule.steps:
                rate = (step - first) / (time.monotonic() - begun)
                means = " ".join(f"{key} {np.mean([f[key] for f in figures]):.4f}" for key in logged)
                print(
                    f"{stage.name} step {step}/{stage.schedule.steps} {means} lr {stage.schedule(step - 1):.1e} "
                    f"{rate:.2f} steps/s",
                    flush=True,
                )
                figures = []
            if time.monotonic() - saved >= every:
                save()
                if on_checkpoint:
                    on_checkpoint(step)
                saved = time.monotonic()
    save()


def _state(stage: Stage, optimizer: torch.optim.Optimizer, step: int) -> dict[str, object]:
    return {
        "step": step,
        "seed": stage.seed,
        "models": {name: model.state_dict() for name, model in stage.models.items()},
        "ema": {name: model.state_dict() for name, model in stage.ema.items()},
        "optimizer": optimizer.state_dict(),
    }


def _load(stage: Stage, optimizer: torch.optim.Optimizer, checkpoint: Path) -> int:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if state["seed"] != stage.seed:
        raise ValueError(f"{checkpoint} was trained with seed {state['seed']}, not {stage.seed}")
    for name, model in stage.models.items():
        model.load_state_dict(state["models"][name])
    for name, model in stage.ema.items():
        model.load_state_dict(state["ema"][name])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
