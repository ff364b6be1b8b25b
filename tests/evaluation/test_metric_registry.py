"""Metrics and feature networks of other packages: found by their entry points, and named in one line where broken."""

from __future__ import annotations

import pytest

from fusionkit.errors import FusionError, PluginError, RecipeError
from fusionkit.evaluation.registry import FEATURES, METRICS

METRIC = """\
from fusionkit.evaluation import Metric


class {name}(Metric):
    \"\"\"Nothing much.\"\"\"

    def describe(self, picture, tools):
        return 1.0
"""
BROKEN = {
    "import-error": ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
    "no-such-class": ("", "AttributeError: module 'theirs' has no attribute 'Theirs'"),
    "not-a-metric": ("Theirs = 3\n", "is 3, not a subclass of fusionkit.evaluation.Metric"),
    "lacks-describe": (
        METRIC.format(name="Theirs").replace("describe", "descibe"),
        "does not implement describe, as each fusionkit.evaluation.Metric must",
    ),
    "raises": ("raise RuntimeError('two\\nlines')\n", "RuntimeError: two lines"),
}


def test_a_metric_is_found_by_its_entry_point(install):
    install("theirs", METRIC.format(name="Theirs"), "[fusionkit.metrics]\ntheirs = theirs:Theirs\n")
    assert METRICS.load("theirs").metric_name == "theirs"
    assert "theirs" in METRICS.load_all()[0]


def test_features_are_found_by_their_entry_point(install):
    code = """\
from fusionkit.evaluation import Features
class Half(Features):
    name = "half"
    def pooled(self, crops): ...
class Theirs(Half):
    name = "theirs"
    @classmethod
    def from_weights(cls, path, device, *, others=None, download=True): ...
"""
    install("theirs", code, "[fusionkit.features]\ntheirs = theirs:Theirs\nhalf = theirs:Half\n")
    assert FEATURES.load("theirs").name == "theirs"
    with pytest.raises(PluginError, match="features 'half' of package 'theirs' does not implement from_weights, as "):
        FEATURES.load("half")


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_package_is_named_and_hides_no_other(install, how):
    code, said = BROKEN[how]
    install("theirs", code, "[fusionkit.metrics]\ntheirs = theirs:Theirs\n")
    with pytest.raises(PluginError) as error:
        METRICS.load("theirs")
    text = str(error.value)
    assert text.startswith("metric 'theirs' of package 'theirs' ")
    assert text.endswith(said)
    assert "\n" not in text
    install("ours", METRIC.format(name="Ours"), "[fusionkit.metrics]\nours = ours:Ours\n")
    found, broken = METRICS.load_all()
    assert "ours" in found
    assert broken["theirs"] == text


def test_a_metric_with_another_name_than_its_entry_point_is_refused(install):
    install("theirs", METRIC.format(name="Ours"), "[fusionkit.metrics]\ntheirs = theirs:Ours\n")
    with pytest.raises(PluginError, match="calls itself 'ours': its entry point and its class must have one name"):
        METRICS.load("theirs")


def test_one_name_of_two_packages_is_refused(install):
    for package in ("theirs", "others"):
        install(package, METRIC.format(name="Theirs"), f"[fusionkit.metrics]\ntheirs = {package}:Theirs\n")
    with pytest.raises(PluginError, match="is offered by the packages 'others' and 'theirs'; uninstall all but one"):
        METRICS.load("theirs")


@pytest.mark.parametrize(("group", "name", "said"), [(METRICS, "thiers", "metric"), (FEATURES, "thiers", "features")])
def test_an_unknown_name_is_said_with_a_near_one(install, group, name, said):
    install("theirs", METRIC.format(name="Theirs"), f"[{group.name}]\ntheirs = theirs:Theirs\n")
    with pytest.raises(RecipeError, match=f"^no {said} 'thiers'; did you mean 'theirs'\\?$"):
        group.load(name)
    with pytest.raises(FusionError, match=f"^no {said} 'qqqq'; installed are: .*theirs"):
        group.load("qqqq")
