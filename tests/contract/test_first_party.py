"""The plugins of this repository keep the contract that every plugin keeps."""

from __future__ import annotations

from fusionkit.testing import PluginContract
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion


class TestMultiDiffusion(PluginContract):
    plugin = MultiDiffusion
    options = {"stride": (40, 24), "jitter": 8}
    neutral = {"stride": 48}


class TestMultiDiffusionAveraged(PluginContract):
    plugin = MultiDiffusion
    options = {"stride": 32, "noise": "averaged"}
    keeps_unit_variance = False


class TestGuidedFusion(PluginContract):
    plugin = GuidedFusion
    neutral = {}
    neutral_size = (64, 64)


class TestVarianceCorrectedFusion(PluginContract):
    plugin = VarianceCorrectedFusion


class TestStyleAlignment(PluginContract):
    plugin = StyleAlignment
    options = {"alpha": 0.4}
    neutral = {"alpha": 0.0}


class TestStyleAlignmentToAPatch(PluginContract):
    plugin = StyleAlignment
    options = {"alpha": 0.4, "reference": {"patch": (0, 0)}}


class TestAllTogether(PluginContract):
    plugin = VarianceCorrectedFusion
    before = (StyleAlignment(alpha=0.6), MultiDiffusion(stride=24, jitter=16), GuidedFusion())
    fields = {"scheduler": "euler-a"}
