"""What the finder learns from: crowds, and where the things in them are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from fusionkit_vista.crowds import crowd_window
from fusionkit_vista.drawer import boxes
from fusionkit_vista.finder import STRIDE, Finder, save_finder
from fusionkit_vista.judge import Judge
from fusionkit_vista.train.clock import say
from fusionkit_vista.train.device import fit_norms, half
from fusionkit_vista.train.judging import spoil
from fusionkit_vista.train.loop import Chance, Figures, Stage
from fusionkit_vista.train.pictures import to_floats
from fusionkit_vista.windows import SIDE

SPREAD = 0.09
"""Standard deviation of a thing's spot in the map, in its sizes."""
WHOLE = 0.7
"""A thing is to be found where so much of its box is in the window; it need not be where less is."""


class Places:
    """Crowds with the places of their things, drawn here and now, on the device.

    Args:
        count: How many.
        seed: Of the drawings.
        things: The kinds.
        device: Where they are kept.
    """

    def __init__(self, count: int, seed: int, things: list[str], device: torch.device) -> None:
        self.pixels = torch.empty(count, SIDE, SIDE, 3, dtype=torch.uint8, device=device)
        kinds, found = [], []
        for index in range(count):
            chosen = crowd_window(seed, index)
            self.pixels[index] = torch.from_numpy(chosen.draw(0)).to(device)
            kinds.append(things.index(chosen.spec.thing) if chosen.spec.thing else 0)
            found.append([list(box) for box in boxes(chosen.spec, chosen.view, (SIDE, SIDE))])
            if (index + 1) % 500 == 0:
                say(f"{index + 1} of {count} crowds are drawn")
        self.kinds = torch.tensor(kinds, device=device)
        most = max(1, *map(len, found))
        none = [[0.0, 0.0, 0.0, 0.0]]
        self.boxes = torch.tensor([each + none * (most - len(each)) for each in found], device=device)


def targets(around: torch.Tensor, kinds: torch.Tensor, number: int) -> dict[str, torch.Tensor]:
    """What is to be seen in windows: spots of things (n, things, 32, 32), their middles, and what is judged.

    Args:
        around: (n, most, 4): left, top, right and bottom in pixels; those of no area are none.
        kinds: The kind of thing in each picture (n,).
        number: How many kinds there are.
    """
    side = SIDE // STRIDE
    places = (torch.arange(side, device=around.device) + 0.5) * STRIDE
    width, height = around[..., 2] - around[..., 0], around[..., 3] - around[..., 1]
    area = (width * height).clamp_min(1e-6)
    inside = around.clamp(0, SIDE)
    seen = (inside[..., 2] - inside[..., 0]) * (inside[..., 3] - inside[..., 1]) / area
    size = area.sqrt()
    x, y = (around[..., 0] + around[..., 2]) / 2, (around[..., 1] + around[..., 3]) / 2
    away = (places[None, None, None] - x[..., None, None]).square() + (
        places[None, None, :, None] - y[..., None, None]
    ).square()
    spot = torch.exp(-away / (2 * (SPREAD * size + 1.5).square()[..., None, None]))
    there = (area > 1) & (seen >= WHOLE) & (x > 0) & (x < SIDE) & (y > 0) & (y < SIDE)
    # Cut off, so that it may be found or not.
    partly = (area > 1) & ~there & (seen > 0.05)
    heat = torch.zeros(len(around), number, side, side, device=around.device)
    strongest, which = (spot * there[..., None, None]).max(1)
    heat[torch.arange(len(around), device=around.device), kinds] = strongest
    near = (away.sqrt() < 0.6 * size[..., None, None]) & partly[..., None, None]
    judged = torch.ones_like(heat)
    judged[torch.arange(len(around), device=around.device), kinds] = (~near.any(1)).float()
    middle = torch.zeros_like(heat)
    columns, rows = (x / STRIDE).long().clamp(0, side - 1), (y / STRIDE).long().clamp(0, side - 1)
    picture = torch.arange(len(around), device=around.device)[:, None].expand_as(rows)
    middle[picture[there], kinds[:, None].expand_as(rows)[there], rows[there], columns[there]] = 1
    sizes = size.gather(1, which.flatten(1)).reshape(which.shape).clamp_min(1).log()
    return {"heat": heat, "middle": middle, "judged": judged, "size": sizes, "spot": strongest}


def finding_loss(
    heat: torch.Tensor, extent: torch.Tensor, wanted: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The focal loss of spots (arXiv:1904.07850, eq. 1) and the error of the log sizes where things are."""
    chance = heat.sigmoid().clamp(1e-4, 1 - 1e-4)
    hit = wanted["middle"] * (1 - chance).square() * chance.log()
    miss = (1 - wanted["middle"]) * (1 - wanted["heat"]).pow(4) * chance.square() * (1 - chance).log()
    number = wanted["middle"].sum().clamp_min(1)
    spots = -((hit + miss) * wanted["judged"]).sum() / number
    weight = wanted["spot"].square()
    away = F.smooth_l1_loss(extent[:, 0], wanted["size"], reduction="none", beta=0.2)
    return spots, (away * weight).sum() / weight.sum().clamp_min(1)


def finder_stage(places: Places, judge: Judge, device: torch.device, count: int, folder: Path) -> Stage:
    """The stage that trains the finder, `count` windows a step; it begins with the judge's layers."""
    finder, number = Finder(judge.things), len(judge.things)
    finder.body.load_state_dict(judge.body.state_dict())
    finder.to(device).train()
    fit_norms(finder)

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        chosen = chance.below(len(places.pixels), count)
        wanted = targets(places.boxes[chosen], places.kinds[chosen], number)
        with half(device):
            heat, extent = finder(spoil(to_floats(places.pixels[chosen]), chance, moved=False))
        spots, sizes = finding_loss(heat.float(), extent.float(), wanted)
        return spots + sizes, {"spots": spots, "sizes": sizes}

    def export(means: dict[str, Any]) -> None:
        save_finder(means["finder"], folder / "finder")

    return Stage("finder", {"finder": finder}, loss, export, muon_rate=1e-3, adamw_rate=2e-3, warmup=50)
