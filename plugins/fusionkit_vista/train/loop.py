"""The loop that all trainings share: steps, averaged weights, checkpoints, and the way back from a loss of NaN."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from fusionkit_vista.train.clock import Clock, average_decay, rate_at, say
from fusionkit_vista.train.optimizer import Optimizer, is_for_muon

STATE = "state.safetensors"


class Chance:
    """All randomness of a step, which the seed and the step's number determine.

    Args:
        seed: Of the training.
        step: The step's number.
        device: Where random tensors are wanted.
    """

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self.host = np.random.default_rng((seed, step))
        self.generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
        self.device = device

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal numbers."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Numbers from 0 to 1."""
        return torch.rand(*shape, generator=self.generator, device=self.device)

    def below(self, end: int, count: int, start: int = 0) -> torch.Tensor:
        """`count` whole numbers from `start` on, below `end`."""
        return torch.randint(start, end, (count,), generator=self.generator, device=self.device)

    def strata(self, count: int) -> torch.Tensor:
        """`count` numbers from 0 to 1, one in each of as many equal strata, in random order."""
        order = torch.randperm(count, generator=self.generator, device=self.device)
        return ((torch.arange(count, device=self.device) + self.uniform(count)) / count)[order]


Figures = dict[str, torch.Tensor]
Loss = Callable[[Chance, float], tuple[torch.Tensor, Figures]]


@dataclass
class Stage:
    """A training: models that learn together, and the loss of a batch.

    Args:
        name: For the log.
        models: The models, on their device.
        loss: Takes a step's randomness, so that a resumed training needs no generator's state, and how far the
            training is (0 to 1); returns what is to be made smaller, and the figures of the log.
        export: Writes the averaged models for those who use them.
        muon_rate: Muon's highest rate; 0 leaves all to AdamW.
        adamw_rate: AdamW's highest rate.
        takes_muon: Which of the weights Muon takes.
        decay: Of the weights that Muon takes.
        warmup: Steps over which the rate rises.
        averaged: Whether the weights' running mean is what is exported.
    """

    name: str
    models: dict[str, nn.Module]
    loss: Loss
    export: Callable[[dict[str, Any]], None]
    muon_rate: float
    adamw_rate: float
    takes_muon: Callable[[str, nn.Parameter], bool] = is_for_muon
    decay: float = 1e-2
    warmup: int = 100
    averaged: bool = True
    means: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        means = {name: copy.deepcopy(model).eval().requires_grad_(False) for name, model in self.models.items()}
        self.means = means if self.averaged else self.models

    def named(self) -> list[tuple[str, nn.Parameter]]:
        """The weights that learn, by name."""
        weights = [(f"{key}.{name}", p) for key, model in self.models.items() for name, p in model.named_parameters()]
        return [(name, weight) for name, weight in weights if weight.requires_grad]

    def optimizer(self) -> Optimizer:
        """The optimizer of the weights."""
        chosen = [(n, w) for n, w in self.named() if self.muon_rate and self.takes_muon(n, w)]
        names = {name for name, _ in chosen}
        others = [(n, w) for n, w in self.named() if n not in names]
        return Optimizer(chosen, others, self.muon_rate, self.adamw_rate, self.decay)


class Training:
    """A stage that is trained into a folder.

    Args:
        stage: What learns.
        folder: Where its state is kept.
        clock: When it ends.
        seed: Of all randomness.
        resume: Go on from the folder's state, if there is one.
        save_every: Seconds between two states, each of which is exported, too.
        log_every: Seconds between two lines of the log.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        clock: Clock,
        seed: int = 0,
        resume: bool = False,
        save_every: float = 60.0,
        log_every: float = 10.0,
    ) -> None:
        self.stage, self.folder, self.clock, self.seed = stage, folder, clock, seed
        self.save_every, self.log_every = save_every, log_every
        self.optimizer = stage.optimizer()
        self.weights: list[torch.Tensor] = [weight for _, weight in stage.named()]
        learning = {name for name, _ in stage.named()}
        means = [(f"{k}.{n}", p) for k, model in stage.means.items() for n, p in model.named_parameters()]
        self.mean_weights: list[torch.Tensor] = [weight for name, weight in means if name in learning]
        self.step, self.share = 0, 1.0
        self.sums: dict[str, torch.Tensor] = {}
        self.counted = 0
        folder.mkdir(parents=True, exist_ok=True)
        spent = self._load() if resume and (folder / STATE).exists() else 0.0
        clock.start(spent)

    def run(self) -> None:
        """Train to the end of the clock, then save and export."""
        began = logged = saved = time.monotonic()
        first = since = self.step
        with self.clock.stopping_on_signals():
            while not self.clock.is_over(self.step):
                self._one_step()
                now = time.monotonic()
                if now - logged >= self.log_every or self.step - first == 5:
                    self._log((self.step - since) / (now - logged))
                    logged, since = time.monotonic(), self.step
                if now - saved >= self.save_every:
                    self.save()
                    saved = time.monotonic()
            self._log((self.step - first) / max(1e-9, time.monotonic() - began))
            self.save()

    def _one_step(self) -> None:
        progress = self.clock.progress(self.step)
        chance = Chance(self.seed, self.step, self.weights[0].device)
        loss, figures = self.stage.loss(chance, progress)
        for weight in self.weights:
            weight.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step(self.share * rate_at(progress, self.step, self.stage.warmup))
        if self.stage.averaged:
            with torch.no_grad():
                torch._foreach_lerp_(self.mean_weights, self.weights, 1 - average_decay(self.step))
        self.step += 1
        self.counted += 1
        for name, value in {"loss": loss, **figures}.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()

    def _log(self, speed: float) -> None:
        """Print the figures' means; go back to the last state, at half the rate, if one of them is no number."""
        if not self.counted:
            return
        means = {name: float(value) / self.counted for name, value in self.sums.items()}
        text = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        done = self.clock.progress(self.step)
        say(f"{self.stage.name} {done:6.1%} step {self.step} {text} {speed:.2f} steps/s")
        self.sums, self.counted = {}, 0
        if not all(abs(value) < 1e9 for value in means.values()):  # NaN fails this, too
            self.share *= 0.5
            if (self.folder / STATE).exists():
                self._load()
            say(f"{self.stage.name}: the loss is no number; back to step {self.step}, at {self.share} of the rate")

    def save(self) -> None:
        """Write the state and export the models, unless a weight is no number."""
        if not all(bool(torch.isfinite(weight).all()) for weight in self.weights):
            say(f"{self.stage.name}: not saved at step {self.step}, a weight is no number")
            return
        tensors = {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        for kind, models in (("models", self.stage.models), ("means", self.stage.means)):
            for key, model in models.items():
                tensors |= {f"{kind}.{key}.{name}": value for name, value in model.state_dict().items()}
        about = {"step": self.step, "seed": self.seed, "elapsed": self.clock.elapsed, "share": self.share}
        partial = self.folder / f"{STATE}.partial"
        copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        save_file(copies, partial, {"about": json.dumps(about)})
        os.replace(partial, self.folder / STATE)
        self.stage.export(self.stage.means)

    def _load(self) -> float:
        """Take over the folder's state; returns the seconds that were spent on it."""
        with safe_open(self.folder / STATE, "pt") as file:
            about = json.loads(file.metadata()["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if about["seed"] != self.seed:
            raise ValueError(f"{self.folder} was trained with seed {about['seed']}, not {self.seed}")
        for kind, models in (("models", self.stage.models), ("means", self.stage.means)):
            for key, model in models.items():
                start = f"{kind}.{key}."
                model.load_state_dict({n[len(start) :]: t for n, t in tensors.items() if n.startswith(start)})
        cut = len("optimizer.")
        self.optimizer.load({name[cut:]: t for name, t in tensors.items() if name.startswith("optimizer.")})
        self.step, self.share = about["step"], min(self.share, about["share"])
        return float(about["elapsed"])
