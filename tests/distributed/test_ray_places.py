"""How much of a machine each worker gets."""

from __future__ import annotations

import pytest

from fusionkit.distributed.ray_places import Places, places
from fusionkit.errors import RecipeError

LAPTOP = [{"CPU": 8.0}]
STATION = [{"CPU": 16.0, "GPU": 2.0}]
CLUSTER = [{"CPU": 4.0}, {"CPU": 32.0, "GPU": 4.0}, {"CPU": 32.0, "GPU": 4.0}]


@pytest.mark.parametrize(
    ("machines", "size", "device", "expected"),
    [
        (LAPTOP, None, "auto", Places(8, 1, 0)),
        (LAPTOP, 1, "auto", Places(1, 8, 0)),
        (LAPTOP, 3, "cpu", Places(3, 2, 0)),
        (STATION, None, "auto", Places(2, 0, 1)),
        (STATION, 1, "cuda", Places(1, 0, 1)),
        # No worker has parts of two GPUs.
        (STATION, 3, "auto", Places(3, 0, 0.5)),
        (STATION, 4, "auto", Places(4, 0, 0.5)),
        (STATION, 4, "cpu", Places(4, 4, 0)),
        (CLUSTER, None, "auto", Places(8, 0, 1)),
        # None has cores of two machines: 32 of each of the large ones, and none of the small one.
        (CLUSTER, 2, "cpu", Places(2, 32, 0)),
        (CLUSTER, 3, "cpu", Places(3, 16, 0)),
    ],
)
def test_each_gets_an_equal_part(
    machines: list[dict[str, float]], size: int | None, device: str, expected: Places
) -> None:
    assert places(machines, size, device) == expected


def test_a_share_of_a_gpu_that_is_asked_for_is_what_each_gets() -> None:
    assert places(STATION, None, "auto", 0.5) == Places(4, 0, 0.5)
    assert places(STATION, 2, "auto", 0.5) == Places(2, 0, 0.5)
    with pytest.raises(RecipeError, match=r"^3 workers with 1 GPUs each need more than the 2 that are there$"):
        places(STATION, 3, "auto", 1)


def test_more_workers_than_cores_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"^9 workers need 9 cores; there are 8$"):
        places(LAPTOP, 9, "cpu")
