"""Writes LPIPS as one file of safetensors, from the published weights, which torchvision downloads.

    python -m fusionkit_syncdiffusion.lpips lpips-vgg.safetensors

The heads come with torchmetrics. It is asked for by name because a run opens nothing but safetensors, and downloads
nothing of its own accord.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fusionkit.evaluation.libraries import require
from fusionkit.pictures.files import write_file
from fusionkit_syncdiffusion.likeness import TORCHMETRICS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m fusionkit_syncdiffusion.lpips", description=__doc__)
    parser.add_argument("file", type=Path, help="where to, ending in .safetensors")
    parser.add_argument("--net", choices=("vgg", "alex"), default="vgg", help="the backbone: 528 MB, or 233 MB")
    options = parser.parse_args(arguments)
    if options.file.suffix != ".safetensors":
        parser.error(f"'{options.file}' does not end in .safetensors")
    require("LPIPS", TORCHMETRICS)
    from safetensors.torch import save
    from torchmetrics.functional.image.lpips import _LPIPS

    network = _LPIPS(pretrained=True, net=options.net)
    # What is known by two names is written by both.
    data = save({name: value.clone().contiguous() for name, value in network.state_dict().items()})
    print(write_file(options.file, lambda file: file.write(data), replace=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
