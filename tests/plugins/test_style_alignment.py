"""Style Alignment: slerp of each patch, and every kind of reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from fusionkit import RecipeError
from fusionkit.testing import tiny_model, tiny_plan, tiny_run
from fusionkit_gvcf import StyleAlignment
from fusionkit_gvcf.reference import noised_image
from fusionkit_gvcf.style_alignment import align, slerp


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def noise_of(reference: Any = "random", alpha: float = 0.4, **fields: Any) -> Tensor:
    plan = tiny_plan([StyleAlignment(alpha=alpha, reference=reference)], **fields)
    plan.stages[0].model = tiny_model()
    noise: Tensor = plan.hooks.ask("init_noise", shape=plan.stages[0].shape, stage=plan.stages[0])
    return noise


def plain(**fields: Any) -> Tensor:
    return tiny_plan(**fields).stages[0].noise("init")


def test_slerp_at_its_ends_and_in_the_middle() -> None:
    a, b = torch.tensor([1.0, 0]), torch.tensor([0, 1.0])
    assert slerp(a, b, 0.5).tolist() == pytest.approx([2**-0.5, 2**-0.5])
    assert slerp(a, b, 1 / 3).tolist() == pytest.approx([3**0.5 / 2, 0.5])
    a, b = normal(4, 8, 8), normal(4, 8, 8, seed=1)
    assert slerp(a, b, 0).equal(a)
    assert slerp(a, b, 1).equal(b)
    assert slerp(a, b, 0.3).dtype == torch.float32
    assert abs(float(slerp(normal(40_000), normal(40_000, seed=1), 0.4).var()) - 1) < 0.02


def test_slerp_of_parallel_opposite_and_zero_vectors_is_a_lerp() -> None:
    a = normal(4, 4, 4)
    for b in (a, 2 * a, -a, torch.zeros_like(a)):
        assert slerp(a, b, 0.25).equal(torch.lerp(a, b, 0.25))
        assert slerp(b, a, 0.25).equal(torch.lerp(b, a, 0.25))
    almost = a + 1e-4 * normal(4, 4, 4, seed=1)
    assert bool(slerp(a, almost, 0.5).isfinite().all())


def test_each_patch_moves_on_its_own_and_the_last_ones_are_cut() -> None:
    noise, reference = normal(1, 4, 11, 21), normal(1, 4, 8, 8, seed=1)
    aligned = align(noise, reference, 0.4)
    for rows, columns in [((0, 8), (0, 8)), ((0, 8), (8, 16)), ((0, 8), (16, 21)), ((8, 11), (16, 21))]:
        here = (..., slice(*rows), slice(*columns))
        cut = reference[..., : rows[1] - rows[0], : columns[1] - columns[0]]
        assert aligned[here].equal(slerp(noise[here], cut, 0.4))
    other = noise.clone()
    other[..., 8:16] += 1
    changed = (align(other, reference, 0.4) - aligned).abs().sum(dim=(0, 1, 2)) > 0
    assert changed.tolist() == [8 <= x < 16 for x in range(21)]


def test_alpha_0_leaves_the_noise_and_1_repeats_the_reference() -> None:
    assert noise_of(alpha=0).equal(plain())
    repeated = noise_of(alpha=1)
    assert repeated[..., :8, :8].equal(repeated[..., :8, 8:16])
    assert repeated[..., :2, :4].equal(repeated[..., 8:, 16:])


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), "much", True])
def test_an_alpha_that_makes_no_sense_is_refused(alpha: Any) -> None:
    with pytest.raises(ValidationError, match="alpha"):
        StyleAlignment(alpha=alpha)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.7, 1.0])
def test_the_variance_stays_1_on_any_canvas(alpha: float) -> None:
    powers = [float(noise_of(alpha=alpha, size=(328, 200), seed=seed).square().mean()) for seed in range(40)]
    assert abs(sum(powers) / len(powers) - 1) < 0.02


def test_a_patch_of_the_canvas_as_the_reference() -> None:
    base = plain()
    aligned = noise_of({"patch": [96, 16]}, alpha=1)
    assert aligned[..., :8, :8].equal(base[..., 2:10, 12:20])
    assert noise_of({"patch": (0, 0)})[..., :8, :8].equal(base[..., :8, :8])  # parallel to itself


def test_given_noise_as_the_reference(tmp_path: Path) -> None:
    given = normal(4, 5, 6)
    save_file({"noise": given}, tmp_path / "noise.safetensors")
    expected = align(plain(), given[None], 0.4)
    for reference in (given, given[None], {"noise": given}, {"noise": str(tmp_path / "noise.safetensors")}):
        assert noise_of(reference).equal(expected)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    across = np.linspace(0, 255, 90, dtype=np.uint8)
    Image.fromarray(np.dstack([np.tile(across, (50, 1))] * 3)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "euler", "euler-a", "dpm++-2m-karras", "heun", "edm-euler"])
def test_a_picture_as_the_reference_has_unit_power_for_any_scheduler(picture: Path, scheduler: str) -> None:
    aligned = noise_of({"image": str(picture)}, alpha=1, scheduler=scheduler, size=(192, 64))
    assert aligned[..., :8].equal(aligned[..., 8:16])
    assert float(aligned.square().mean()) == pytest.approx(1, abs=1e-3)


def test_a_picture_is_cropped_encoded_noised_to_the_first_timestep_and_scaled(picture: Path) -> None:
    plan = tiny_plan(size=(192, 64), window=(64, 32), scheduler="ddpm")
    (stage,) = plan.stages
    stage.model = tiny_model()
    with Image.open(picture) as image:
        latents = stage.model.encode(
            image.convert("RGB").crop((0, 2, 90, 47)).resize((64, 32), Image.Resampling.LANCZOS)
        )
    alpha = float(
        torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)[int(stage.scheduler.timesteps[0])]
    )
    noised = alpha**0.5 * latents + (1 - alpha) ** 0.5 * stage.noise("style reference", (1, 4, 4, 8))
    expected = noised / noised.square().mean().sqrt()
    assert float((noised_image(picture, stage) - expected).abs().max()) < 1e-3


def test_a_whole_run_with_a_picture(picture: Path) -> None:
    assert bool(tiny_run([StyleAlignment(reference={"image": str(picture)})], scheduler="euler-a").isfinite().all())


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ({"patch": (4, 0)}, r"reference patch \[4, 0\] is not a multiple of the model's latent factor, 8 pixels"),
        (
            {"patch": (104, 0)},
            r"reference patch \[104, 0\] does not lie on the canvas of 160x80; a window .* \[96, 16\]",
        ),
        ({"patch": (-8, 0)}, r"reference patch \[-8, 0\] does not lie on the canvas"),
        ({"image": "no/such.png"}, "reference image 'no/such.png' does not exist"),
        ({"noise": "no/such.safetensors"}, "reference noise 'no/such.safetensors' does not exist"),
        ({"noise": "."}, r"reference noise '\.' is no ordinary file"),
        (normal(3, 8, 8), r"reference noise that is given has shape \(3, 8, 8\); expected \(4, height, width\)"),
        (normal(2, 4, 8, 8), r"has shape \(2, 4, 8, 8\); expected"),
        (normal(4, 0, 8), r"has shape \(4, 0, 8\); expected"),
    ],
)
def test_a_reference_that_does_not_fit_is_one_line_before_the_model_loads(reference: Any, line: str) -> None:
    with pytest.raises(RecipeError, match=f"^style-alignment: .*{line}") as error:
        tiny_plan([StyleAlignment(reference=reference)])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"no picture", "is no picture of a known format"), (b"\x89PNG\r\n\x1a\n" + b"x" * 20, "picture|read")],
)
def test_a_file_that_is_no_picture_is_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(RecipeError, match=line) as error:
        tiny_plan([StyleAlignment(reference={"image": tmp_path / "a.png"})])
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(RecipeError, match="is a folder, not a picture"):
        tiny_plan([StyleAlignment(reference={"image": tmp_path})])


def test_a_noise_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"not at all")
    save_file({"a": normal(4, 8, 8), "b": normal(4, 8, 8)}, tmp_path / "two.safetensors")
    with pytest.raises(RecipeError, match="can't be read: it is no safetensors file"):
        tiny_plan([StyleAlignment(reference={"noise": tmp_path / "a.safetensors"})])
    with pytest.raises(RecipeError, match="can't be read: it holds 2 tensors instead of one"):
        tiny_plan([StyleAlignment(reference={"noise": tmp_path / "two.safetensors"})])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("photo.png", "'photo.png' is no reference; use random"),
        ({"patch": [0, 0], "image": "a.png"}, "one of patch, image and noise, not patch and image"),
        ({"pach": [0, 0]}, "pach"),
        ({"patch": [0]}, "patch"),
        ({"noise": 3}, "a .safetensors file, or from Python a tensor"),
        (3, "reference"),
    ],
)
def test_what_is_no_reference_is_refused(reference: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StyleAlignment(reference=reference)


def test_references_are_written_as_they_are_read() -> None:
    assert StyleAlignment().options() == {}
    assert StyleAlignment(reference="random").options() == {}
    for reference in ({"patch": [8, 16]}, {"image": "a.png"}, {"noise": "n.safetensors"}):
        assert StyleAlignment(reference=reference).options() == {"reference": reference}
    assert StyleAlignment(reference=normal(4, 2, 2)).options() == {"reference": {"noise": "a tensor of (4, 2, 2)"}}
