"""Metrics are asked here: what somebody else's code raises is told with its name."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from fusionkit.errors import PluginError
from fusionkit.evaluation.libraries import missing
from fusionkit.foreign import guarded

if TYPE_CHECKING:
    from pathlib import Path

    from fusionkit.evaluation.metric import Metric
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools


def described_by(metrics: Sequence[Metric], picture: Picture, tools: Tools, path: Path) -> dict[str, Any]:
    """What metrics say of one picture, by their names.

    Args:
        metrics: The metrics.
        picture: The picture.
        tools: What they share.
        path: What the picture is called in messages.

    Raises:
        PluginError: A metric failed.
    """
    return {metric.metric_name: as_number(asked(metric, "describe", path, picture, tools)) for metric in metrics}


def asked(metric: Metric, method: str, path: Path | None, *args: Any) -> Any:
    """Call a metric's method; what somebody else's code raises becomes one line that says whose it is.

    Raises:
        PluginError: The metric failed.
    """
    at = f" of {path}" if path is not None else ""
    try:
        with guarded(f"metric '{metric.metric_name}' failed in {method}{at}"):
            return getattr(metric, method)(*args)
    except PluginError as error:
        if error.__cause__ is not None and (lines := missing(metric.libraries)):
            raise PluginError("\n".join(f"metric '{metric.metric_name}' {line}" for line in lines)) from error
        raise


def as_number(found: Any) -> Any:
    """A number as a float, whatever library's it is; anything else as it is."""
    return float(found) if isinstance(found, Real) or getattr(found, "ndim", None) == 0 else found
