"""What metrics share while they look at pictures: the feature network, the device, local weights, and what is known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, RecipeError
from fusionkit.foreign import guarded
from fusionkit.pictures.files import write_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.features import Features
    from fusionkit.evaluation.picture import Picture

DEFAULT_FEATURES = "inception"


class Tools:
    """What metrics share while they look at pictures.

    Args:
        features: The feature network, by its name or loaded; it is loaded when it is first asked for.
        device: Where to compute: auto, cpu, cuda, cuda:1, mps, ...
        weights: Local files of weights by name, for what can't be downloaded.
        download: Whether weights that are not on this machine may be downloaded; otherwise they count as missing.
        cache: A folder in which the features of pictures are kept, by the content of the files; None keeps them in
            memory alone.
    """

    def __init__(
        self,
        features: str | Features = DEFAULT_FEATURES,
        *,
        device: str = "auto",
        weights: Mapping[str, Path] | None = None,
        cache: Path | None = None,
        download: bool = True,
    ) -> None:
        self._asked = features
        self._device = device
        self.weights = {name: Path(path) for name, path in (weights or {}).items()}
        self.cache = cache
        self.download = download
        self._failure: FusionError | None = None
        self._refusals: dict[str, list[str]] = {}
        self._pooled: dict[str, NDArray[np.float64]] = {}
        self._keys: dict[tuple[Path, int, int], str] = {}

    @property
    def recipe(self) -> dict[str, Any]:
        """What makes the same tools elsewhere, on another device; features that were kept stay here.

        Raises:
            RecipeError: The feature network is an object, which can't be sent.
        """
        if not isinstance(self._asked, str):
            raise RecipeError([f"features '{self._asked.name}' are an object, which workers can't be sent; name them"])
        return {"features": self._asked, "weights": self.weights, "download": self.download}

    @cached_property
    def device(self) -> str:
        """Where to compute, as torch calls it.

        Raises:
            RecipeError: This machine does not have it.
        """
        from fusionkit.models.devices import pick_device

        return str(pick_device(self._device))

    def device_problems(self) -> list[str]:
        """Why the device can't be used, one line; torch is not imported where nothing but the CPU is asked for."""
        try:
            _ = self._device in ("auto", "cpu") or self.device
        except RecipeError as error:
            return error.problems
        return []

    @property
    def features_name(self) -> str:
        """The name of the feature network, which need not be loaded."""
        return self._asked if isinstance(self._asked, str) else self._asked.name

    @cached_property
    def features(self) -> Features:
        """The feature network.

        Raises:
            RecipeError: No installed package offers it.
            PluginError: Its package is broken.
            ModelError: Its weights are missing.
        """
        if not isinstance(self._asked, str):
            return self._asked
        # Several metrics ask; what is missing, and may have been tried to download, is looked for once.
        if self._failure is None:
            from fusionkit.evaluation.features import FEATURES

            try:
                kind = FEATURES.load(self._asked)
                path, device = self.weights.get(self._asked), self.device
                with guarded(f"features '{self._asked}' can't be loaded"):
                    return kind.from_weights(path, device, others=self.weights, download=self.download)
            except FusionError as error:
                self._failure = error
        raise self._failure

    def features_problems(self, method: str = "pooled") -> list[str]:
        """Why the feature network can't be used, one line each; it is asked about one blank crop to find out.

        Args:
            method: What is wanted of it: `pooled`, `maps`, `perceptual_distance` or `class_scores`.
        """
        if method not in self._refusals:
            self._refusals[method] = self._refusal(method)
        return self._refusals[method]

    def _refusal(self, method: str) -> list[str]:
        import numpy as np

        try:
            features = self.features
            width, height = features.size
            crops = np.zeros((1, height, width, 3), np.uint8)
            with guarded(f"features '{self.features_name}' failed in {method}"):
                getattr(features, method)(*[crops] * (2 if method == "perceptual_distance" else 1))
        except FusionError as error:
            return str(error).splitlines()
        return []

    def pooled(self, picture: Picture, step: int | None = None) -> NDArray[np.float64]:
        """The features of a picture's crops, (n, D); computed once a picture.

        Args:
            picture: The picture.
            step: Pixels from one crop to the next; None has them side by side.

        Raises:
            ModelError: The network, or its weights, are missing.
            FusionError: The cache can't be written.
        """
        key = self._key(picture, step)
        if key not in self._pooled:
            found = self._kept(key)
            if found is None:
                features, crops = self.features, picture.crops(step)
                with guarded(f"features '{self.features_name}' failed in pooled of {picture.path}"):
                    found = features.pooled(crops)
                self._keep(key, found)
            self._pooled[key] = found
        return self._pooled[key]

    def _key(self, picture: Picture, step: int | None) -> str:
        """What decides a picture's features: its content, its crops and the network."""
        stat = picture.path.stat()
        at = (picture.path, stat.st_mtime_ns, stat.st_size)
        if at not in self._keys:
            self._keys[at] = hashlib.sha256(picture.path.read_bytes()).hexdigest()
        laid = f"{picture.crop} every {step}" if step else f"{picture.crop}"
        return hashlib.sha256(f"{self._keys[at]} {laid} {self._network}".encode()).hexdigest()

    @cached_property
    def _network(self) -> str:
        """The network's name, and what tells its weights from others of that name."""
        name = self.features_name
        if not isinstance(self._asked, str) or name not in self.weights:
            return f"{name} {self.features.size}"
        return f"{name} {self.features.size} {hashlib.sha256(self.weights[name].read_bytes()).hexdigest()}"

    def _kept(self, key: str) -> NDArray[np.float64] | None:
        import numpy as np

        if self.cache is None or not (path := self.cache / f"{key}.npy").exists():
            return None
        try:
            with path.open("rb") as file:
                return np.asarray(np.load(file), dtype=np.float64)
        except (OSError, ValueError, EOFError):
            # A file that somebody damaged is as good as none: it is written again.
            return None

    def _keep(self, key: str, found: NDArray[np.float64]) -> None:
        import numpy as np

        if self.cache is None:
            return
        # What can't be kept is computed again the next time.
        with suppress(FusionError):
            write_file(self.cache / f"{key}.npy", lambda file: np.save(file, found), replace=True)
