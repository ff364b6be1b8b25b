"""What libraries say while they are told to be quiet, and afterwards."""

from __future__ import annotations

import logging
import warnings

import diffusers  # noqa: F401 - gives its logger the handler that it has
import pytest

from fusionkit import Fusion
from fusionkit.models.silence import quiet_diffusers


class Heard(logging.Handler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.mark.parametrize("through", ["diffusers", ""], ids=["its-own", "everybody's"])
def test_advice_is_silent_errors_are_heard_and_others_are_left_alone(
    through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, library, one = Heard(), logging.getLogger("diffusers"), logging.getLogger("diffusers.schedulers.any")
    monkeypatch.setattr(library, "propagate", not through)
    monkeypatch.setattr(logging.getLogger(through), "handlers", [heard])
    level = library.level
    with quiet_diffusers():
        with quiet_diffusers():
            one.warning("advice within")
        one.warning("advice")
        one.error("an error")
        logging.getLogger("elsewhere").warning("another library")
        warnings.warn("outdated", FutureWarning, stacklevel=1)
    one.warning("advice afterwards")
    others = [] if through else ["another library"]
    assert heard.said == ["an error", *others, "advice afterwards"]
    assert (heard.filters, library.level) == ([], level)
    with pytest.warns(FutureWarning, match="outdated"):
        warnings.warn("outdated", FutureWarning, stacklevel=1)


def test_a_model_that_comes_as_a_lora_loads_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr(logging.getLogger("diffusers"), "handlers", [heard])
    fusion = Fusion.from_pretrained("vista/expert")
    fusion.models_for(fusion.recipe)
    assert heard.said == []
