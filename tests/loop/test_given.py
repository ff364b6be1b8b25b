"""What a plugin was given is compared with what it was, at a cost that does not grow with the canvas."""

from __future__ import annotations

import pytest
import torch

from fusionkit.loop.given import WHOLE, Inputs


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 4, 1024, 512), (40, 4, 128, 128)])
def test_changes_of_small_and_large_tensors_are_seen(shape: tuple[int, ...]) -> None:
    def one(tensor: torch.Tensor) -> None:
        tensor[-1, -1] = 7.0

    for given in (
        torch.zeros(shape),
        torch.zeros(shape[::-1]).permute(3, 2, 1, 0),
        torch.zeros(1).expand(shape).clone(),
    ):
        kept = Inputs({"argument 'latents'": given})
        assert [bool(same) for same, _ in kept.changes()] == [True]
        one(given)
        assert [(bool(same), what) for same, what in kept.changes()] == [
            (False, "the argument 'latents' in place; make a new tensor")
        ]


def test_of_a_large_tensor_a_part_is_kept() -> None:
    given = torch.zeros(64 * WHOLE, dtype=torch.int8)
    kept = Inputs({"argument 'latents'": given})
    assert WHOLE / 2 < kept.bytes <= WHOLE
    assert Inputs({"argument 'latents'": given[: WHOLE + 5]}).bytes == WHOLE + 5
