"""GF, VCF and both, against TitorX/GVCFDiffusion: every canvas after every step, fed the reference's draws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from replay import HERE, Case, ReferenceMap, apart, cases, largest, pipeline_of, reference_map, run
from rounding import rounding
from torch import Tensor

from fusionkit import Plugin
from fusionkit_gvcf import VarianceCorrectedFusion
from fusionkit_gvcf.guided_fusion import guidance_map
from fusionkit_gvcf.style_alignment import align, slerp
from fusionkit_multidiffusion import MultiDiffusion

DATA = HERE / "data" / "gvcf"
TOLERANCE = 1e-3


def plugins_of(case: Case, factor: int) -> list[Plugin]:
    """The recipe that does what the reference's `step_func` does."""
    function, (vertical, horizontal) = case.params["step_func"], case.params["stride_latent"]
    averaged = "patch_noise" in case and "vcf" not in function
    plugins: list[Plugin] = [
        MultiDiffusion(stride=(horizontal * factor, vertical * factor), noise="averaged" if averaged else "canvas")
    ]
    if function.startswith("g"):
        plugins.append(ReferenceMap())
    if "vcf" in function:
        plugins.append(VarianceCorrectedFusion())
    return plugins


@pytest.mark.parametrize("path", cases("gvcf"), ids=lambda path: path.stem)
def test_every_canvas_after_every_step(path: Path) -> None:
    case = Case.read(path)
    factor = pipeline_of(case).vae_scale_factor
    height, width = case.params["canvas_latent"]
    patch = case.params["patch"] * factor
    seen = run(case, plugins_of(case, factor), (width * factor, height * factor), (patch, patch))

    difference = largest(seen.canvases, case["canvas_after_step"])
    print(f"largest difference: {difference:.1e}")
    assert seen.timesteps == case["timesteps"].tolist()
    assert len(seen.canvases) == len(case["canvas_after_step"])
    assert difference < TOLERANCE
    assert largest(seen.predictions, case["eps_patches"]) < TOLERANCE
    assert largest(seen.patches, case["latent_patches"]) < TOLERANCE


def test_a_wrong_recipe_is_told_apart() -> None:
    case = Case.read(DATA / "gvcf_ddpm_16x64_stride12_slerp0.4.npz")
    without_correction = [MultiDiffusion(stride=96, noise="averaged"), ReferenceMap()]
    seen = run(case, without_correction, (512, 128), (128, 128))
    assert largest(seen.canvases, case["canvas_after_step"]) > 0.1


def tiled(style: Tensor, shape: torch.Size) -> Tensor:
    """The reference's tiling: the style patch repeated over the canvas."""
    rows, columns = -(-shape[-2] // style.shape[-2]), -(-shape[-1] // style.shape[-1])
    return style.repeat(1, rows, columns)[:, : shape[-2], : shape[-1]]


def slerp_cases() -> list[tuple[str, Tensor, Tensor, Tensor, float]]:
    """(name, noise, style, the reference's answer, alpha) of the single function and of every recorded run."""
    single = Case.read(DATA / "randn_slerp.npz")
    found = [
        (f"c{n}", single[f"c{n}_noise"], single[f"c{n}_style"], single[f"c{n}_out"], params["alpha"])
        for n, params in enumerate(single.params["cases"])
    ]
    for path in cases("gvcf"):
        case = Case.read(path)
        if "raw_style_noise" in case:
            noise, answer = case["raw_noise"], case["initial_noise"]
            found.append((case.name, noise, case["raw_style_noise"], answer.reshape(noise.shape), case.params["slerp"]))
    return found


SLERPS = [pytest.param(*rest, id=name) for name, *rest in slerp_cases()]


@pytest.mark.parametrize(("noise", "style", "expected", "alpha"), SLERPS)
def test_slerp_over_the_whole_tensor_is_the_reference(
    noise: Tensor, style: Tensor, expected: Tensor, alpha: float
) -> None:
    assert apart(slerp(noise, tiled(style, noise.shape), alpha), expected) < rounding(noise)


@pytest.mark.parametrize(("noise", "style", "expected", "alpha"), SLERPS)
def test_alignment_of_each_patch_is_the_paper(noise: Tensor, style: Tensor, expected: Tensor, alpha: float) -> None:
    # The departure: the reference has one angle for the whole tensor, the paper (and we) one for each patch. All of
    # them are nearly right angles, so the two differ a little, and not at all at alpha 0 and 1.
    ours = align(noise[None], style[None], alpha)[0]
    twin = noise.clone()
    height, width = style.shape[-2:]
    for top in range(0, noise.shape[-2], height):
        for left in range(0, noise.shape[-1], width):
            here = (..., slice(top, top + height), slice(left, left + width))
            a, b = noise[here].double(), style.double()
            angle = torch.arccos((a / a.norm() * b / b.norm()).sum())
            twin[here] = (
                (torch.sin((1 - alpha) * angle) * a + torch.sin(alpha * angle) * b) / torch.sin(angle)
            ).float()
    assert (ours - twin).abs().max() < rounding(twin)
    assert apart(ours, expected) < (rounding(noise) if alpha in (0, 1) else 0.1)
    kept = ~expected.isnan()
    assert abs(float(ours[kept].square().mean()) - float(expected[kept].square().mean())) < 0.02


def maps() -> list[int]:
    return [int(name.removeprefix("size_")) for name in Case.read(DATA / "distance_map.npz").arrays]


@pytest.mark.parametrize("size", maps())
def test_the_twin_of_the_distance_map_is_the_reference(size: int) -> None:
    assert (reference_map(size) - Case.read(DATA / "distance_map.npz")[f"size_{size}"]).abs().max() < 1e-6


@pytest.mark.parametrize("size", maps())
def test_our_guidance_map_departs_where_the_reference_has_its_fault(size: int) -> None:
    theirs = Case.read(DATA / "distance_map.npz")[f"size_{size}"]
    ours = guidance_map(size, size)[0, 0]
    # Theirs is (close to) 0 in the first corner and not centred; ours is centred, symmetrical and positive.
    assert abs(float(theirs[0, 0])) < 1e-6
    assert ours.min() > 0
    assert ours.equal(ours.flip(0))
    assert ours.equal(ours.T)
    # The two agree up to the half pixel by which theirs is off, and the corner's floor of about 1 / size.
    assert (ours - theirs).abs().max() < 2.5 / size
