"""For each hook of a plugin: what it may answer by mistake."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fusionkit import (
    Fused,
    Masked,
    Patches,
    Prompt,
    StagePlan,
    View,
)

SIZE = (160, 80)
WHOLE = View(0, 0, 10, 20)
GATHERS = ("check", "keeps_composition", "maps")
OBSERVES = ("step_done", "stage_done")


def generator(*values: Any) -> Generator[Any, None, None]:
    yield from values


def tensor(*shape: int, **options: Any) -> Tensor:
    return torch.zeros(*(shape or (1, 4, 10, 20)), **options)


def plan(**changes: Any) -> list[StagePlan]:
    return [StagePlan(**{"size": SIZE, **changes})]


def group(**changes: Any) -> list[Patches]:
    return [Patches(**{"views": (WHOLE,), **changes})]


NO_CANVAS: dict[str, Callable[[], Any]] = {
    "a list": lambda: [1],
    "a number": lambda: 3.5,
    "text": lambda: "noise",
    "numpy": lambda: np.zeros((1, 4, 10, 20), np.float32),
    "shape": lambda: tensor(4, 10, 20),
    "transposed": lambda: tensor(1, 4, 20, 10),
    "float16": lambda: tensor(dtype=torch.float16),
    "float64": lambda: tensor(dtype=torch.float64),
    "whole numbers": lambda: tensor(dtype=torch.int64),
    "another device": lambda: tensor(device="meta"),
    "sparse": lambda: tensor().to_sparse(),
    "a tuple of tensors": lambda: (tensor(), tensor()),
    "a generator": lambda: generator(tensor()),
}

# For each hook: what a plugin may answer by mistake.
WRONG: dict[str, dict[str, Callable[[], Any]]] = {
    "check": {
        "text": lambda: "no",
        "bytes": lambda: b"no",
        "a number": lambda: 3,
        "yes": lambda: True,
        "a mapping": lambda: {"no": 1},
        "numbers": lambda: [1, 2],
        "nothing in it": lambda: [None],
        "an empty line": lambda: ["  "],
        "a generator of numbers": lambda: generator(1),
        "a tensor": lambda: tensor(3),
    },
    "default_size": {
        "a number": lambda: 512,
        "text": lambda: "160x80",
        "one side": lambda: (160,),
        "parts": lambda: (160.0, 80.0),
        "0": lambda: (0, 80),
        "a tensor": lambda: torch.tensor([160, 80]),
        "a generator": lambda: generator(160, 80),
    },
    "plan_stages": {
        "a number": lambda: 3,
        "text": lambda: "one",
        "a plan alone": lambda: plan()[0],
        "no stages": list,
        "a generator": lambda: generator(*plan()),
        "a mapping": lambda: {0: plan()[0]},
        "sizes": lambda: [SIZE],
        "nothing in it": lambda: [None],
        "a size of text": lambda: plan(size="160x80"),
        "a frame of one": lambda: plan(frame=(160,)),
        "a frame beyond": lambda: plan(frame=(160, 88)),
        "a size of one": lambda: plan(size=(160,)),
        "a size of parts": lambda: plan(size=(160.0, 80.0)),
        "a size of 0": lambda: plan(size=(160, 0)),
        "a size below 0": lambda: plan(size=(-160, 80)),
        "no size": lambda: plan(size=None),
        "steps of text": lambda: plan(steps="3"),
        "steps of parts": lambda: plan(steps=3.0),
        "no steps": lambda: plan(steps=0),
        "steps below 0": lambda: plan(steps=-3),
        "steps yes": lambda: plan(steps=True),
        "a name of numbers": lambda: plan(name=3),
        "a picture of text": lambda: plan(picture="x.png"),
        "a picture's size of text": lambda: plan(picture=Path("x.png"), picture_size="all"),
        "a told size of text": lambda: plan(told="160x80"),
        "a told size of 0": lambda: plan(told=(160, 0)),
    },
    "keeps_composition": {
        "a number": lambda: 1,
        "text": lambda: "yes",
        "nothing": lambda: None,
        "a list": lambda: [True],
    },
    "views": {
        "a number": lambda: 3,
        "text": lambda: "all",
        "a group alone": lambda: group()[0],
        "no groups": list,
        "a generator": lambda: generator(*group()),
        "views": lambda: [WHOLE],
        "nothing in it": lambda: [None],
        "views of one": lambda: group(views=WHOLE),
        "views of None": lambda: group(views=None),
        "views of a generator": lambda: group(views=generator(WHOLE)),
        "views of tuples": lambda: group(views=((0, 0, 10, 20),)),
        "a view of parts": lambda: group(views=(View(0.0, 0, 10, 20),)),  # type: ignore[arg-type]
        "a view of text": lambda: group(views=(View("0", 0, 10, 20),)),  # type: ignore[arg-type]
        "a view of tensors": lambda: group(views=(View(*torch.tensor([0, 0, 10, 20])),)),
        "a view without height": lambda: group(views=(View(0, 0, 0, 20),)),
        "a view of negative width": lambda: group(views=(View(0, 0, 10, -20),)),
        "dilation 0": lambda: group(views=(View(0, 0, 10, 20, 0),)),
        "columns below 0 apart": lambda: group(views=(View(0, 0, 10, 20, across=-2),)),
        "a kind of numbers": lambda: group(kind=3),
        "a share of text": lambda: group(share="1"),
        "no share": lambda: group(share=None),
        "share NaN": lambda: group(share=float("nan")),
        "share infinite": lambda: group(share=float("inf")),
        "share below 0": lambda: group(share=-1.0),
        "a share that is a tensor": lambda: group(share=torch.tensor(1.0)),
        "weights of numbers": lambda: group(weights=1.0),
        "weights of numpy": lambda: group(weights=np.ones((10, 20))),
        "weights that do not fit": lambda: group(weights=torch.ones(3, 3)),
        "weights of whole numbers": lambda: group(weights=torch.ones(10, 20, dtype=torch.int64)),
        "weights NaN": lambda: group(weights=torch.full((10, 20), float("nan"))),
        "weights infinite": lambda: group(weights=torch.full((10, 20), float("inf"))),
        "noise that does not fit": lambda: group(noise=torch.ones(1, 4, 3, 3)),
        "noise NaN": lambda: group(noise=torch.full((1, 4, 10, 20), float("nan"))),
        "noise of another type": lambda: group(noise=tensor(dtype=torch.float16)),
    },
    "encode": {
        **NO_CANVAS,
        "a picture": lambda: Image.new("RGB", SIZE),
        "one of another size": lambda: tensor(1, 4, 5, 10),
    },
    "masked": {
        "a tensor": tensor,
        "a pair": lambda: (tensor(1, 1, 10, 20), tensor()),
        "a mask that does not fit": lambda: Masked(tensor(), tensor()),
        "a mask of another type": lambda: Masked(tensor(1, 1, 80, 160, dtype=torch.bool), tensor()),
        "a picture that does not fit": lambda: Masked(tensor(1, 1, 80, 160), tensor(1, 3, 80, 160)),
    },
    "init_noise": NO_CANVAS,
    "init_latents": NO_CANVAS,
    "prompt_per_patch": {
        "text": lambda: "a hill",
        "a number": lambda: 3,
        "too few": lambda: ["a hill"] * 2,
        "none": list,
        "too many": lambda: ["a hill"] * 7,
        "a generator": lambda: generator(*["a hill"] * 6),
        "numbers": lambda: [1] * 6,
        "nothing in it": lambda: [None] * 6,
        "a mapping": lambda: dict.fromkeys(range(6), "a hill"),
        "prompts of numbers": lambda: [Prompt(3)] * 6,  # type: ignore[arg-type]
        "negatives of numbers": lambda: [Prompt("a hill", 3)] * 6,  # type: ignore[arg-type]
        "bytes": lambda: [b"a hill"] * 6,
    },
    "noise_prediction": {**NO_CANVAS, "a canvas": tensor, "both halves": lambda: (tensor(6, 4, 8, 8),) * 2},
    "forward_passes": {
        "text": lambda: "12",
        "parts": lambda: 12.0,
        "below 0": lambda: -1,
        "yes": lambda: True,
        "a list": lambda: [12],
        "a tensor": lambda: torch.tensor(12),
        "a generator": lambda: generator(12),
    },
    "fuse": {
        "a tensor": tensor,
        "a pair": lambda: (tensor(), None),
        "text": lambda: "mean",
        "a generator": lambda: generator(Fused(tensor())),
        "a prediction of None": lambda: Fused(None),  # type: ignore[arg-type]
        "a prediction that does not fit": lambda: Fused(tensor(3)),
        "a prediction of float16": lambda: Fused(tensor(dtype=torch.float16)),
        "a prediction of numpy": lambda: Fused(np.zeros((1, 4, 10, 20), np.float32)),  # type: ignore[arg-type]
        "noise that does not fit": lambda: Fused(tensor(), tensor(2)),
        "noise of numbers": lambda: Fused(tensor(), 1.0),  # type: ignore[arg-type]
        "a clean estimate that does not fit": lambda: Fused(tensor(), None, tensor(2)),
    },
    "step": NO_CANVAS,
    "rounds": {
        "text": lambda: "2",
        "parts": lambda: 2.0,
        "none": lambda: 0,
        "yes": lambda: True,
        "a list": lambda: [2],
        "a tensor": lambda: torch.tensor(2),
        "a generator": lambda: generator(2),
    },
    "noised_back": NO_CANVAS,
    "step_done": {"a canvas": tensor, "no": lambda: False, "text": lambda: "done", "a generator": lambda: generator()},
    "stage_done": {"a canvas": tensor, "yes": lambda: True},
    "decode": {
        "latents": tensor,
        "numpy": lambda: np.zeros((80, 160, 3), np.uint8),
        "text": lambda: "a picture",
        "a list": lambda: [Image.new("RGB", SIZE)],
        "a class": lambda: Image.Image,
        "another size": lambda: Image.new("RGB", SIZE[::-1]),
        "latent pixels": lambda: Image.new("RGB", (20, 10)),
        "grey": lambda: Image.new("L", SIZE),
        "transparent": lambda: Image.new("RGBA", SIZE),
        "a generator": lambda: generator(Image.new("RGB", SIZE)),
    },
    "xmp": {
        "bytes": lambda: b"<x/>",
        "a number": lambda: 3,
        "a mapping": lambda: {"GPano": "x"},
        "control characters": lambda: "<x>\0</x>",
        "a generator": lambda: generator("<x/>"),
    },
    "exif": {
        "text": lambda: "Canon",
        "no EXIF": lambda: b"Canon",
        "a mapping": lambda: {271: "Canon"},
        "a generator": lambda: generator(b""),
    },
    "maps": {
        "a picture": lambda: Image.new("RGB", (8, 8)),
        "a list": lambda: [Image.new("RGB", (8, 8))],
        "text": lambda: "map",
        "numbers by name": lambda: {"map": 3},
        "numpy by name": lambda: {"map": np.zeros((8, 8, 3), np.uint8)},
        "None by name": lambda: {"map": None},
        "a name of numbers": lambda: {3: Image.new("RGB", (8, 8))},
        "a name that leads away": lambda: {"../map": Image.new("RGB", (8, 8))},
        "a name without letters": lambda: {"": Image.new("RGB", (8, 8))},
        "a name too long": lambda: {"m" * 300: Image.new("RGB", (8, 8))},
        "a picture of floats": lambda: {"map": Image.new("F", (8, 8))},
        "a picture without pixels": lambda: {"map": Image.new("RGB", (0, 8))},
        "a generator": lambda: generator("map"),
    },
}
