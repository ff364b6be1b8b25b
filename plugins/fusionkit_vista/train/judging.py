"""What the judge learns from: drawings and what they show, as drawn and after the autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from fusionkit_vista.drawer.words import EXTRA_STYLES, SCENES, STYLES, THINGS, TIMES, WEATHERS
from fusionkit_vista.judge import Judge, Seen, save_judge
from fusionkit_vista.train.clock import say
from fusionkit_vista.train.device import fit_norms, half
from fusionkit_vista.train.loop import Chance, Figures, Stage
from fusionkit_vista.train.pictures import Some, pieces, to_bytes, to_floats

ANSWERS = {
    "style": (*STYLES, *EXTRA_STYLES),
    "scene": SCENES,
    "time": TIMES,
    "weather": WEATHERS,
    "number": (0, 1, 2, 3),
}


def build_judge() -> Judge:
    """An untrained judge."""
    return Judge(ANSWERS, tuple(THINGS))


class Lessons:
    """Whole scenes with the right answers, on the device.

    Args:
        pictures: Several sets of pictures, from which those that are no close-ups are taken.
        judge: Whose questions are to be answered.
    """

    def __init__(self, pictures: Sequence[Some], judge: Judge) -> None:
        device, windows, facts = pictures[0].pixels.device, [], []
        for some in pictures:
            whole = [i for i, each in enumerate(some.facts) if each["view"][2] == 1]
            windows.append(some.windows[torch.tensor(whole, device=device, dtype=torch.long)])
            facts += [some.facts[i] for i in whole]
        self.pixels = torch.cat(windows)
        self.answers = {
            question: torch.tensor([values.index(each[question]) for each in facts], device=device)
            for question, values in judge.answers.items()
        }
        there = [[float(each["thing"] == name) for name in judge.things] for each in facts]
        self.things = torch.tensor(there, device=device)

    @torch.no_grad()
    def decode(self, vae: Any, every: int) -> None:
        """Put every so manieth window through the autoencoder."""
        places = torch.arange(0, len(self.pixels), every, device=self.pixels.device)
        for part in pieces(places, 64 if self.pixels.device.type == "cuda" else 16):
            latents = vae.encode(to_floats(self.pixels[part])).latent_dist.mean
            self.pixels[part] = to_bytes(vae.decode(latents).sample)


def spoil(pictures: torch.Tensor, chance: Chance, moved: bool = True) -> torch.Tensor:
    """Pictures softened and made noisy at random, so that soft samples are judged fairly; mirrored and shifted, too.

    Args:
        pictures: (n, 3, h, w).
        chance: Decides how.
        moved: Whether they are mirrored and shifted.
    """
    draw = chance.host.random(6)
    if moved and draw[0] < 0.5:
        pictures = pictures.flip(-1)
    if draw[1] < 0.5:
        soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        pictures = torch.lerp(pictures, soft, float(0.3 + 0.7 * draw[2]))
    if moved:
        shift = [int(v) for v in chance.host.integers(-6, 7, 2)]
        pictures = torch.roll(pictures, shift, (2, 3))
    noise = chance.normal(*pictures.shape)
    return pictures * float(0.92 + 0.16 * draw[3]) + float(0.1 * draw[4] - 0.05) + noise * float(0.08 * draw[5])


def judge_stage(judge: Judge, lessons: Lessons, device: torch.device, count: int, folder: Path) -> Stage:
    """The stage that trains the judge, `count` windows a step."""
    judge.to(device).train()
    fit_norms(judge)

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        chosen = chance.below(len(lessons.pixels), count)
        with half(device):
            logits = judge(spoil(to_floats(lessons.pixels[chosen]), chance))
        losses = {
            question: F.cross_entropy(logits[question].float(), right[chosen])
            for question, right in lessons.answers.items()
        }
        losses["things"] = 4 * F.binary_cross_entropy_with_logits(logits["things"].float(), lessons.things[chosen])
        return torch.stack(list(losses.values())).sum(), losses

    def export(means: dict[str, Any]) -> None:
        save_judge(means["judge"], folder / "judge")

    return Stage("judge", {"judge": judge}, loss, export, muon_rate=1e-3, adamw_rate=2e-3, warmup=50)


def report(judge: Judge, held: Lessons, vae: Any) -> None:
    """Print how often the judge is right about windows that it never saw, as drawn and after the autoencoder."""
    for name in ("as drawn", "decoded"):
        if name == "decoded":
            held.decode(vae, 1)
        shares = accuracy(judge, held)
        text = ", ".join(f"{question} {share:.1%}" for question, share in shares.items())
        say(f"judge, {len(held.pixels)} held-out windows {name}: {text}")


def accuracy(judge: Judge, held: Lessons) -> dict[str, float]:
    """Shares of right answers by question, of the right things, and of all right together."""
    seen: list[Seen] = judge.judge(held.pixels.cpu().numpy())
    right: dict[str, list[bool]] = {
        question: [
            getattr(each, question) == judge.answers[question][int(i)] for each, i in zip(seen, rows, strict=True)
        ]
        for question, rows in held.answers.items()
    }
    wanted = [frozenset(n for n, there in zip(judge.things, row, strict=True) if there) for row in held.things.tolist()]
    right["things"] = [each.things == want for each, want in zip(seen, wanted, strict=True)]
    right["all"] = [all(values) for values in zip(*right.values(), strict=True)]
    return {name: sum(values) / max(1, len(values)) for name, values in right.items()}
