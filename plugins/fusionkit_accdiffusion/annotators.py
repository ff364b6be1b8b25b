"""Annotators: what a ControlNet is shown of a picture, such as its edges. Through controlnet-aux, by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, did_you_mean
from fusionkit.recipe.problems import shown

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

_REPOSITORY = "lllyasviel/Annotators"
# The side of a picture, in pixels, above which networks look at a smaller copy: they know pictures of about 512.
_LARGEST_SIDE = 1024
# torch.load of older versions runs code that a file of weights may hold.
_SAFE_TORCH = (2, 6)


@dataclass(frozen=True)
class Annotator:
    """One of controlnet-aux's detectors.

    Args:
        detector: Its class there; empty for those that need none.
        files: Its weights in the hub's `lllyasviel/Annotators`.
        options: Arguments of each call.
        resizes: Whether it takes the size of its answer as an argument, and rounds it to multiples of 64 pixels.
    """

    detector: str = ""
    files: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    resizes: bool = True


ANNOTATORS: Mapping[str, Annotator] = {
    "none": Annotator(),
    "canny": Annotator(),
    "depth": Annotator("MidasDetector", ("dpt_hybrid-midas-501f0c75.pt",)),
    "hed": Annotator("HEDdetector", ("ControlNetHED.pth",)),
    "lineart": Annotator("LineartDetector", ("sk_model.pth", "sk_model2.pth")),
    "lineart-anime": Annotator("LineartAnimeDetector", ("netG.pth",)),
    "lineart-standard": Annotator("LineartStandardDetector", resizes=False),
    "mlsd": Annotator("MLSDdetector", ("mlsd_large_512_fp32.pth",)),
    "normal": Annotator("NormalBaeDetector", ("scannet.pt",)),
    "openpose": Annotator("OpenposeDetector", ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth")),
    "scribble": Annotator("HEDdetector", ("ControlNetHED.pth",), {"scribble": True}),
    "softedge": Annotator("PidiNetDetector", ("table5_pidinet.pth",), {"safe": True}),
}
"""What there is, by the name that a recipe uses; `none` takes the picture itself for the hint."""


def unknown_annotator(name: str) -> str:
    """What to say of a name that is none of `ANNOTATORS`."""
    return f"must be one of {', '.join(ANNOTATORS)}, not {shown(name)}{did_you_mean(name, ANNOTATORS)}"


def annotator_problems(name: str) -> list[str]:
    """Why an annotator can't be used, in one line, as far as can be told without running it; none where it can."""
    missing = [file for file in ANNOTATORS[name].files if not _is_cached(file)]
    if not missing:
        return []
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        return []
    return [
        f"annotator '{name}' needs {' and '.join(missing)} of the hub's {_REPOSITORY}, not in the local cache, "
        f"and the hub is switched off (HF_HUB_OFFLINE); {_INSTEAD}"
    ]


_INSTEAD = "use 'annotator: canny', or 'annotator: none' with 'from:' a hint that is ready"


def annotate(name: str, picture: Image, *, sigma: float, device: torch.device | None = None) -> Image:
    """What an annotator sees in a picture: an RGB picture of the same size.

    Args:
        name: Of `ANNOTATORS`.
        picture: In RGB.
        sigma: For canny: how far its thresholds are from the median.
        device: Where networks compute; None is the CPU.

    Raises:
        FusionError: The annotator's package or weights can't be had, or it fails.
    """
    if name == "none":
        return picture
    if name == "canny":
        return _as_picture(canny(picture, sigma))
    try:
        return _detect(ANNOTATORS[name], picture, device)
    except Exception as error:
        # Networks of many authors, and the hub: what they raise has no common type.
        reason = " ".join(str(error).split())
        raise FusionError(f"annotator '{name}' can't be used: {reason:.200}; {_INSTEAD}") from error


def thresholds(picture: Any, sigma: float) -> tuple[int, int]:
    """Canny's lower and upper threshold: 1 -+ sigma times the median of all values of a picture (H, W, 3)."""
    import numpy as np

    median = float(np.median(picture))
    return int(max(0, (1 - sigma) * median)), int(min(255, (1 + sigma) * median))


def canny(picture: Image, sigma: float) -> np.ndarray[Any, Any]:
    """The edges of an RGB picture, (H, W) of 0 and 255, with thresholds around its median (arXiv 2412.02099)."""
    import cv2
    import numpy as np

    pixels = np.array(picture.convert("RGB"))
    edges: np.ndarray[Any, Any] = cv2.Canny(pixels, *thresholds(pixels, sigma))
    return edges


def _as_picture(grey: Any) -> Image:
    from PIL import Image

    return Image.fromarray(grey).convert("RGB")


def _detect(annotator: Annotator, picture: Image, device: torch.device | None) -> Image:
    import torch
    from PIL.Image import Resampling

    with warnings.catch_warnings():
        # The package imports all of its networks, and most of them warn.
        warnings.simplefilter("ignore")
        import controlnet_aux

        detector = getattr(controlnet_aux, annotator.detector)
        if annotator.files:
            if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _SAFE_TORCH:
                least = ".".join(map(str, _SAFE_TORCH))
                raise FusionError(f"its weights are pickled, which is safe to read from torch {least} on")
            detector = detector.from_pretrained(_REPOSITORY)
            if device is not None:
                detector.to(device)
        else:
            detector = detector()
        side = min(*picture.size, _LARGEST_SIDE)
        sizes = (
            {"detect_resolution": side, "image_resolution": side} if annotator.resizes else {"detect_resolution": side}
        )
        seen: Image = detector(picture.convert("RGB"), output_type="pil", **sizes, **annotator.options)
    return seen.convert("RGB").resize(picture.size, Resampling.BICUBIC)


def _is_cached(file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(_REPOSITORY, file), str)
