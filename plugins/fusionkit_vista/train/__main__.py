"""The command line: `python -m fusionkit_vista.train COMMAND`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

TRAININGS = ("vae", "decoder", "denoiser", "flow", "judge", "finder", "expert", "controlnet")
OTHERS = ("encode", "sheets", "export", "draw-expert", "all")


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(prog="python -m fusionkit_vista.train", description=__doc__)
    result.add_argument("command", choices=(*TRAININGS, *OTHERS), help="what is trained or made")
    result.add_argument("--work", type=Path, default=Path("runs/vista"), help="where all parts are kept")
    result.add_argument("--pictures", type=Path, help="pictures that were drawn; default: those of the work folder")
    result.add_argument("--minutes", type=float, help="how long to train")
    result.add_argument("--seconds", type=float, default=600, help="the same in seconds")
    result.add_argument("--steps", type=int, help="train so many steps instead")
    result.add_argument("--until", type=float, help="train until this moment, in seconds since the epoch")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--resume", action="store_true", help="go on from what the work folder holds")
    result.add_argument("--device", default="auto", help="cpu or cuda; default: the GPU where there is one")
    result.add_argument("--batch", type=int, help="examples a step; default: what suits the device")
    result.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    result.add_argument("--channels", type=int, default=16, help="of the latents")
    result.add_argument("--widths", type=lambda text: tuple(map(int, text.split(","))), help="of the model's levels")
    result.add_argument("--decode", type=int, default=3, help="of judge: every so manieth picture is decoded; 0: none")
    result.add_argument("--rate", type=float, help="the highest learning rate, Muon's where it is used")
    result.add_argument(
        "--start",
        type=Path,
        help="of decoder, judge and encode: another autoencoder; of denoiser: a finished model from which it goes on",
    )
    result.add_argument(
        "--grounded", action="store_true", help="of denoiser: nothing of a caption may stand behind its words"
    )
    result.add_argument(
        "--count", type=int, help="of expert, controlnet and finder: how many pictures are drawn for it"
    )
    result.add_argument("--save-every", type=float, default=60.0, help="seconds between two states")
    result.add_argument("--log-every", type=float, default=10.0, help="seconds between two lines")
    result.add_argument("--tiny", action="store_true", help="toy models, for a rehearsal")
    result.add_argument(
        "--captions", type=Path, help="of sheets: a list of captions as JSON, of which samples are drawn"
    )
    result.add_argument("--wait", action="store_true", help="of sheets: wait for the end of the trainings")
    result.add_argument("--out", type=Path, help="of export and all: where the results go")
    result.add_argument(
        "--processes", type=int, help="of all: how many draw pictures; default: one less than the cores"
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, or 1 if a part of all of it failed."""
    options = parser().parse_args(arguments)
    if options.command == "all":
        from fusionkit_vista.train.driver import run_all

        return run_all(options)
    if options.command == "export":
        from fusionkit_vista.train.layout import export_flow, export_scenes

        export_scenes(options.work, options.out / "scenes")
        export_flow(options.work, options.out / "flow")
        return 0
    if options.command == "draw-expert":
        from fusionkit_vista.train.expert_pictures import FOLDER, draw_expert

        until = options.until or time.time() + options.seconds
        return int(draw_expert(options.work / FOLDER, options.processes or 1, options.seed, until) > 0)
    from fusionkit_vista.train.commands import Run, mark

    getattr(Run(options), options.command)()
    mark(options.work, options.command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
