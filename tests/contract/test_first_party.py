"""The plugins of this repository keep the contract that every plugin keeps."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fusionkit import Stage, hookimpl, recipes
from fusionkit.loop.stage import ImagePrompt
from fusionkit.testing import PluginContract, tiny_controlnet, tiny_model, tiny_pipeline, tiny_plan
from fusionkit.testing.tiny import Kind
from fusionkit.testing.tiny_adapter import save_tiny_adapter
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_cutdiffusion import CutDiffusion
from fusionkit_elasticdiffusion import ElasticDiffusion
from fusionkit_fouriscale import FouriScale, FouriScaleGuidance
from fusionkit_freescale import RestrainedDilation, ScaleFusion, SizeConditioning
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_hidiffusion import ResolutionAwareUNet, WindowedAttention
from fusionkit_ipadapter import IPAdapter
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import ColourMatch, ExactSize, ImageToImage, Inpaint
from fusionkit_regions import Regions
from fusionkit_scalecrafter import AttentionScaling, Dispersion, NoiseDampedGuidance, ReDilation
from fusionkit_spotdiffusion import ShiftedWindows
from fusionkit_syncdiffusion import SyncDiffusion


class TestMultiDiffusion(PluginContract):
    plugin = MultiDiffusion
    options = {"stride": (40, 24), "jitter": 8}
    neutral = {"stride": 48}


class TestMultiDiffusionAveraged(PluginContract):
    plugin = MultiDiffusion
    options = {"stride": 32, "noise": "averaged"}
    keeps_unit_variance = False


class TestRegions(PluginContract):
    plugin = Regions
    options = {
        "boxes": {
            "left": {"box": (0, 8, 40, 56), "adds": "with a moon", "guidance_scale": 1.0},
            "right": {"box": (0.4, 0, 0.6, 1), "prompt": "a boat", "soft_border": 24},
        },
        "once": "a kite",
        "bootstrapping": 0.4,
    }
    neutral = {"boxes": {"all": {"box": (0, 0, 1, 1), "prompt": "a hill"}}}
    before = (MultiDiffusion(stride=40), GuidedFusion())


class TestRing(PluginContract):
    plugin = Ring
    options = {"axes": "xy"}
    neutral = {"axes": "none"}


# One that comes with the recipes.
DRAWING = Path(recipes.__file__).with_name("drawing.png")


class TestImageToImage(PluginContract):
    plugin = ImageToImage
    options = {"from_": DRAWING}
    neutral = {"from_": DRAWING, "strength": 1}


class TestInpaint(PluginContract):
    plugin = Inpaint
    options = {"from_": DRAWING, "box": (8, 8, 30, 20), "softness": 4}
    neutral = {"from_": DRAWING, "box": (0, 0, 128, 128)}


class TestColourMatch(PluginContract):
    plugin = ColourMatch
    options = {"to": str(DRAWING), "by": "wavelet"}
    neutral = {"to": str(DRAWING), "amount": 0}


class TestExactSize(PluginContract):
    plugin = ExactSize
    options = {"size": (155, 71)}
    neutral = {"size": (160, 80)}
    # It says which part of the canvas is the picture, and a canvas that does not hold it is refused.
    changes_latents = False
    keeps_coverage = False


class TestShiftedWindows(PluginContract):
    plugin = ShiftedWindows
    options = {"overlap_first": 0.5}
    neutral = {"ring": "none"}
    neutral_size = (64, 64)


class TestSyncDiffusion(PluginContract):
    plugin = SyncDiffusion
    options = {"loss": "tinyworld", "frequency": 2}
    neutral = {"loss": "tinyworld", "weight": 0}
    before = (MultiDiffusion(stride=64),)
    fields = {"size": (128, 64)}


class TestCutDiffusion(PluginContract):
    plugin = CutDiffusion
    neutral = {"until": 0}
    before = (MultiDiffusion(stride=32, jitter=8),)


class TestElasticDiffusion(PluginContract):
    plugin = ElasticDiffusion
    options = {"resampling": 1}
    fields = {"steps": 2}


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


class TestProgressiveUpscaling(PluginContract):
    plugin = ProgressiveUpscaling
    neutral = {}
    neutral_size = (64, 64)


class TestProgressiveUpscalingAtOnce(PluginContract):
    plugin = ProgressiveUpscaling
    options = {"stages": (), "steps": 2, "skip_residual": "off"}


class TestDilatedSampling(PluginContract):
    plugin = DilatedSampling
    neutral = {}
    neutral_size = (64, 64)


class TestDilatedSamplingApart(PluginContract):
    plugin = DilatedSampling
    options = {"window_interaction": False, "gaussian_filter": False, "skip_below": 0.2}
    before = (ProgressiveUpscaling(),)


class TestPatchContentPrompts(PluginContract):
    plugin = PatchContentPrompts
    options = {"levels": (1,), "threshold": 0.55}
    neutral = {"levels": (1,), "threshold": 0.0}
    before = (ProgressiveUpscaling(),)
    fields = {"prompt": "a hill, the sea"}


class TinyControlNet(ControlNet, name="controlnet"):
    """With the net that fits the tiny model at hand."""

    @hookimpl
    def check(self) -> list[str]:
        """Nothing: the net does fit."""
        return []

    def net(self, stage: Stage) -> Any:
        """A tiny net of the model's kind."""
        return tiny_controlnet("sdxl" if stage.info.kind == "sdxl" else "sd")


class TestControlNet(PluginContract):
    plugin = TinyControlNet
    # The picture itself as the hint: edges appear and vanish by rounding errors.
    options = {"model": "tiny", "annotator": "none"}
    neutral = {"model": "tiny", "scale": 0}
    before = (ProgressiveUpscaling(),)
    imports_lightly = False  # the test's module, not the plugin's, which tests/plugins/test_annotators.py imports


@lru_cache
def tiny_image_prompt(kind: Kind, picture: Path) -> ImagePrompt:
    """A picture as a tiny IP-Adapter shows it to a tiny model."""
    with TemporaryDirectory() as folder:
        adapter = save_tiny_adapter(Path(folder), tiny_pipeline(kind).unet)
        (stage,) = tiny_plan((), kind).stages
        stage.model = tiny_model(kind)
        return IPAdapter(adapter=str(adapter), picture=picture).loaded(stage)


class TinyIPAdapter(IPAdapter, name="ip-adapter"):
    """With the adapter that fits the tiny model at hand."""

    @hookimpl
    def check(self) -> list[str]:
        """Nothing: the adapter does fit."""
        return []

    def loaded(self, stage: Stage) -> ImagePrompt:
        """By a tiny adapter of the model's kind."""
        return tiny_image_prompt("sdxl" if stage.info.kind == "sdxl" else "sd", self.pictures[0])


class TestIPAdapter(PluginContract):
    plugin = TinyIPAdapter
    options = {"adapter": "tiny", "picture": DRAWING, "box": (0.3, 0, 0.7, 0.6), "scale": 0.8}
    neutral = {"adapter": "tiny", "picture": DRAWING, "scale": 0}
    imports_lightly = False  # the test's module, not the plugin's


class TestReDilation(PluginContract):
    plugin = ReDilation
    options = {"factor": 1.5, "progressive": True}
    neutral = {}


class TestDispersion(PluginContract):
    plugin = Dispersion
    options = {"layers": ["mid_block.*"]}
    neutral = {}
    before = (ReDilation(factor=2),)


class TestNoiseDampedGuidance(PluginContract):
    plugin = NoiseDampedGuidance
    options = {"levels": [1.5]}
    neutral = {}
    before = (ReDilation(factor=2),)


class TestAttentionScaling(PluginContract):
    plugin = AttentionScaling
    fields = {"window": (128, 80)}
    neutral = {"until": 0}


class TestResolutionAwareUNet(PluginContract):
    plugin = ResolutionAwareUNet
    fields = {"window": (128, 80)}
    neutral = {"strided": 0, "pooled": 0}


class TestWindowedAttention(PluginContract):
    plugin = WindowedAttention
    fields = {"window": (128, 80)}
    neutral = {"until": 0}


class TestFouriScale(PluginContract):
    plugin = FouriScale
    options = {"dilation": 1.5}
    neutral = {}


class TestFouriScaleGuidance(PluginContract):
    plugin = FouriScaleGuidance
    options = {"weaker": 1.5}
    before = (FouriScale(dilation=3),)
    fields = {"steps": 2}


class TestRestrainedDilation(PluginContract):
    plugin = RestrainedDilation
    options = {"factor": 2}
    neutral = {}


class TestScaleFusion(PluginContract):
    plugin = ScaleFusion
    fields = {"window": (128, 80)}
    neutral = {"until": 0}


class TestSizeConditioning(PluginContract):
    plugin = SizeConditioning
    options = {"size": "64x64"}
    neutral = {"size": "64x64"}
    neutral_size = (64, 64)
    kinds = ("sdxl",)
    fields = {"steps": 2}


class TestAllTogether(PluginContract):
    plugin = VarianceCorrectedFusion
    before = (StyleAlignment(alpha=0.6), MultiDiffusion(stride=24, jitter=16), GuidedFusion())
    fields = {"scheduler": "euler-a"}
