"""The networks of published scores: Inception-v3 for FID, VGG-16 for LPIPS, VGG-19 for Gram matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import ModelError
from fusionkit.evaluation.features import Features, resized
from fusionkit.evaluation.libraries import require
from fusionkit_metrics.libraries import TORCH_FIDELITY, TORCHMETRICS
from fusionkit_metrics.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

INCEPTION = Weights(
    "inception",
    "Inception-v3 of torch-fidelity",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    96,
)
VGG16 = Weights("vgg16", "VGG-16 of torchvision", "https://download.pytorch.org/models/vgg16-397923af.pth", 553, True)
VGG19 = Weights("vgg19", "VGG-19 of torchvision", "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", 575, True)

STYLE_LAYERS = (1, 6, 11, 20, 29)
"""relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of VGG-19, as in arXiv 1508.06576."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, by which VGG's input is normalised."""
BATCH = 16


class InceptionFeatures(Features):
    """The networks that published scores are computed with; each is loaded, or downloaded, when it is first asked.

    `pooled`: the 2,048 features before the last layer of torch-fidelity's Inception-v3, the port of TensorFlow's that
    published FIDs use; torchvision's own gives other numbers. `class_scores`: its last layer. `perceptual_distance`:
    LPIPS with VGG-16, by torchmetrics. `maps`: five layers of torchvision's VGG-19. The latter two look at crops at
    their own size.
    """

    name = "inception"
    size = (299, 299)

    weights = (VGG16.name, VGG19.name)

    def __init__(self, local: Mapping[str, Path], device: str, download: bool = True) -> None:
        self._local, self._device, self._download = dict(local), device, download

    @classmethod
    def from_weights(
        cls, path: Path | None, device: str, *, others: Mapping[str, Path] | None = None, download: bool = True
    ) -> InceptionFeatures:
        """The networks with their local files: "inception" (which `path` is, too), "vgg16" and "vgg19"."""
        local = dict(others or {})
        if path is not None:
            local[INCEPTION.name] = path
        return cls(local, device, download)

    def pooled(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The 2,048 features of each crop, (n, 2048).

        Raises:
            ModelError: Inception's weights are missing.
        """
        import numpy as np
        import torch

        found = [np.zeros((0, 2048))]
        for batch in _batches(crops):
            pixels = torch.from_numpy(resized(batch, self.size)).permute(0, 3, 1, 2).to(self._device)
            found.append(_inception_forward(self._inception, pixels).double().cpu().numpy())
        return np.concatenate(found)

    def class_scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The 1,008 logits of each crop, (n, 1008), without the last layer's bias, as published scores take them.

        Raises:
            ModelError: Inception's weights are missing.
        """
        found: NDArray[np.float64] = self.pooled(crops) @ self._inception.fc.weight.T.double().cpu().numpy()
        return found

    def maps(self, crops: NDArray[np.uint8]) -> list[Tensor]:
        """Activations of five layers of VGG-19, each (n, C, h, w).

        Raises:
            ModelError: VGG-19's weights are missing.
        """
        import torch

        found: list[Tensor] = []
        with torch.inference_mode():
            mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, DEVIATION))
            x = ((_tensor(crops) / 255 - mean) / deviation).to(self._device)
            for number, layer in enumerate(self._vgg19):
                x = layer(x)
                if number in STYLE_LAYERS:
                    found.append(x.clone())  # the next layer's ReLU may work in place
        return found

    def perceptual_distance(self, some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
        """LPIPS with VGG-16, (n,).

        Raises:
            ModelError: VGG-16's weights are missing.
        """
        import numpy as np
        import torch

        found = [np.zeros(0)]
        for pair in zip(_batches(some), _batches(others), strict=True):
            first, second = ((_tensor(each) / 127.5 - 1).clamp(-1, 1).to(self._device) for each in pair)
            with torch.inference_mode():
                found.append(self._lpips(first, second).double().flatten().cpu().numpy())
        return np.concatenate(found)

    @cached_property
    def _inception(self) -> Any:
        require("Inception-v3", TORCH_FIDELITY)
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = INCEPTION.file(self._local, self._download)
        INCEPTION.state(path)  # torch-fidelity would run any pickle
        try:
            network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path))
        except RuntimeError as error:
            raise ModelError(INCEPTION.misfit(path)) from error
        return network.to(self._device)

    @cached_property
    def _lpips(self) -> Any:
        require("LPIPS", TORCHMETRICS)
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        path = VGG16.file(self._local, self._download)
        VGG16.state(path)
        try:
            with VGG16.in_hub(path):
                return LearnedPerceptualImagePatchSimilarity("vgg").net.to(self._device)
        except RuntimeError as error:
            raise ModelError(VGG16.misfit(path)) from error

    @cached_property
    def _vgg19(self) -> Any:
        import torch
        from torchvision.models import vgg19

        path = VGG19.file(self._local, self._download)
        with torch.device("meta"):
            # The convolutions alone: the layers behind them, of 86 % of the weights, are never made.
            layers = vgg19(weights=None).features[: STYLE_LAYERS[-1] + 1]
        state = {
            name.removeprefix("features."): value
            for name, value in VGG19.state(path).items()
            if name.startswith("features.") and int(name.split(".")[1]) < len(layers)
        }
        try:
            layers.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise ModelError(VGG19.misfit(path)) from error
        return layers.eval().requires_grad_(False).to(self._device)


def _inception_forward(network: Any, pixels: Tensor) -> Tensor:
    """The features of pixels (n, 3, 299, 299) in 0..255 that are not rounded, as clean-fid gives them.

    torch-fidelity takes whole numbers alone, so the pixels come in where its first layer begins, normalised as it does.
    """
    import torch

    def unrounded(_layer: Any, _given: Any) -> tuple[Tensor]:
        return ((pixels - 128) / 128,)

    handle = network.Conv2d_1a_3x3.register_forward_pre_hook(unrounded)
    try:
        with torch.inference_mode():
            (features,) = network(pixels.round().to(torch.uint8))
    finally:
        handle.remove()
    found: Tensor = features
    return found


def _batches(crops: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(crops), BATCH):
        yield crops[start : start + BATCH]


def _tensor(crops: NDArray[np.uint8]) -> Tensor:
    """Crops (n, h, w, 3) as floats (n, 3, h, w), 0..255."""
    import torch

    return torch.tensor(crops).permute(0, 3, 1, 2).float()
