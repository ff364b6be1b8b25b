"""Says what a picture of 128 px shows: style, scene, time, weather, which things, and how many."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

SIZE = 128
WEIGHTS = "judge.safetensors"
WIDTHS = (24, 48, 64, 96, 112)
BATCH = 64


@dataclass(frozen=True)
class Seen:
    """What a judge sees in a picture.

    Args:
        style: "poster" or "woodcut".
        scene: Such as "the sea"; "the sky" where there is no land.
        time: Such as "at dawn".
        weather: Such as "in mist".
        things: Kinds of things, such as "sailboat", that are there.
        number: How many things are there, of all kinds; at most 3 are told apart.
    """

    style: str
    scene: str
    time: str
    weather: str
    things: frozenset[str]
    number: int


class Judge(nn.Module):
    """Five strided convolutions with a plain one after each, pooled, and a linear head to each question.

    Args:
        answers: The possible answers by question, of which one holds: "style", "scene", "time", "weather", "number".
        things: The kinds of things, of which any may be there.
    """

    def __init__(self, answers: Mapping[str, Sequence[str | int]], things: Sequence[str]) -> None:
        super().__init__()
        self.answers, self.things = {name: list(values) for name, values in answers.items()}, list(things)
        layers: list[nn.Module] = []
        for before, after in pairwise((3, *WIDTHS)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
            if after > WIDTHS[0]:
                layers += [nn.Conv2d(after, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        width = 2 * WIDTHS[-1]
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in self.answers.items()})
        self.presence = nn.Linear(width, len(self.things))

    def pooled(self, pictures: torch.Tensor) -> torch.Tensor:
        """Means and maxima of the last layer (n, 224), of pictures (n, 3, 128, 128) in -1 to 1."""
        features = self.body(pictures)
        return torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (n, answers) by question, and those of the things' presence (n, things) as "things"."""
        pooled = self.pooled(pictures)
        return {name: head(pooled) for name, head in self.heads.items()} | {"things": self.presence(pooled)}

    @torch.no_grad()
    def judge(self, pictures: NDArray[np.uint8]) -> list[Seen]:
        """What each picture (n, 128, 128, 3) most probably shows."""
        self.eval()
        device = next(self.parameters()).device
        seen: list[Seen] = []
        for start in range(0, len(pictures), BATCH):
            part = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BATCH])).to(device)
            logits = self(part.permute(0, 3, 1, 2).float() / 127.5 - 1)
            chosen = {name: logits[name].argmax(1).tolist() for name in self.answers}
            there = (logits["things"] > 0).tolist()
            for i in range(len(part)):
                fields: dict[str, Any] = {name: values[chosen[name][i]] for name, values in self.answers.items()}
                things = frozenset(name for name, yes in zip(self.things, there[i], strict=True) if yes)
                seen.append(Seen(**fields, things=things))
        return seen


def save_judge(judge: Judge, folder: Path) -> None:
    """Write the judge's weights, in half precision, and the names of its answers."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.detach().half().cpu().contiguous() for name, value in judge.state_dict().items()}, folder / WEIGHTS
    )
    (folder / WEIGHTS).chmod(0o644)  # written for the owner alone
    config = {"answers": judge.answers, "things": judge.things}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_judge(folder: Path, device: torch.device | None = None) -> Judge:
    """The judge of a folder."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    judge = Judge(config["answers"], config["things"])
    judge.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    return judge.to(device or torch.device("cpu")).eval()
