"""The command line: `python -m fusionkit_vista.evaluate WHAT`; loads torch only once it is known what is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

MEASURES = {
    "samples": "how often samples show what their captions say",
    "judge": "how often the judge is right about drawings that it never saw, also after the autoencoder",
    "counter": "how often things are counted rightly in large drawings of several",
    "grounding": "whether the denoiser looks at a thing's word where the thing is",
    "canny": "how well samples follow the hints of the ControlNet",
    "seam": "whether panoramas show where their windows meet, and their borders",
}
"""Each is a module of this package with a function `main`."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    what = "; ".join(f"{name}: {text}" for name, text in MEASURES.items())
    result = argparse.ArgumentParser(
        prog="python -m fusionkit_vista.evaluate", description="Measures the models of vista.", epilog=what
    )
    result.add_argument("what", choices=MEASURES, help="what is measured")
    result.add_argument("--count", type=int, help="how many pictures; default: as many as the documentation's tables")
    result.add_argument("--seed", type=int, default=0, help="of what is drawn, and of the noise")
    result.add_argument("--steps", type=int, default=24, help="of each sample")
    result.add_argument("--guidance", type=float, help="of each sample; default: the model's own")
    result.add_argument("--model", choices=("scenes", "flow"), default="scenes", help="of samples: which model draws")
    result.add_argument("--minutes", type=float, help="end after so long, with the pictures that are there")
    result.add_argument("--judge", type=Path, help="folder of another judge")
    result.add_argument("--out", type=Path, help="of samples, seam and canny: folder of the pictures")
    result.add_argument("--finder", type=Path, help="of counter: folder of another finder")
    result.add_argument("--controlnet", type=Path, help="of canny: folder of another ControlNet")
    result.add_argument("--enlarged", action="store_true", help="of canny: hints of half the size, as in upscaling")
    result.add_argument("--sheets", type=Path, nargs="*", help="of samples: judge the pictures of these sheets instead")
    result.add_argument("--captions", type=Path, help="of samples: the sheets' captions, as JSON")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a measure; returns 0, or 1 where the drawer is missing."""
    from fusionkit_vista.draw import skia_problem

    options = parser().parse_args(arguments)
    if options.what in NEED_DRAWER and (problem := skia_problem()):
        print(problem, file=sys.stderr)
        return 1
    import_module(f"fusionkit_vista.evaluate.{options.what}").main(options)
    return 0


NEED_DRAWER = ("canny", "counter", "grounding", "judge")
"""What measures on drawings."""

if __name__ == "__main__":
    sys.exit(main())
