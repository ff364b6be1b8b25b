"""Two packages that offer one plugin name are both named, and so is a package whose models can't be listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionkit import registry
from fusionkit.errors import PluginError
from fusionkit.models.embedded import broken_packages, embedded_controlnets, embedded_models


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "copycat-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: copycat\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[fusionkit.plugins]\nguided-fusion = copycat:Guided\n\n[fusionkit.models]\ncopycat = copycat_models:MODELS\n\n"
        "[fusionkit.controlnets]\nforger = forger_models:NETS\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget()
    yield
    registry.forget()


@pytest.mark.usefixtures("package")
def test_two_packages_with_one_plugin_name_are_named() -> None:
    with pytest.raises(PluginError) as error:
        registry.load("guided-fusion")
    assert str(error.value) == (
        "plugin 'guided-fusion' is offered by the packages 'copycat' and 'fusionkit'; uninstall all but one of them"
    )
    assert registry.load("multidiffusion").plugin_name == "multidiffusion"


@pytest.mark.usefixtures("package")
def test_a_broken_package_of_models_hides_no_other() -> None:
    assert broken_packages() == {
        "copycat": "copycat_models:MODELS: ModuleNotFoundError: No module named 'copycat_models'",
        "forger": "forger_models:NETS: ModuleNotFoundError: No module named 'forger_models'",
    }
    assert "tinyworld/scenes" in embedded_models()
    assert "tinyworld/canny" in embedded_controlnets()
