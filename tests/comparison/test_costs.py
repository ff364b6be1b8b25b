"""Costs are told of one kind of device where there is one for all settings, and say so where there is none."""

from __future__ import annotations

from typing import Any

from fusionkit.comparison.measure import Measured, common_device, costs
from fusionkit.evaluation import Evaluation


def run(seconds: float, device: str | None, warm: bool = True, memory: int = 5) -> dict[str, Any]:
    told = {"seconds": seconds, "forward-passes": 40, "peak-memory": memory, "warm": warm}
    return told if device is None else {**told, "device": device}


def measured(*settings: list[str | None]) -> list[Measured]:
    nothing: Any = None
    empty: Evaluation = nothing
    return [Measured([], empty, {}, [run(1, device) for device in each]) for each in settings]


def test_medians_are_of_one_device() -> None:
    runs = [run(1, "H100"), run(2, "H100"), run(9, "H100", warm=False), run(30, "T4", memory=900), run(40, "T4")]
    found, mixed = costs(runs, "H100"), costs(runs)
    assert found["seconds"] == {"value": 1.5, "low": 1.25, "high": 1.75}
    assert found["peak-memory"] == {"value": 5, "low": 5, "high": 5}
    assert found["forward-passes"] == {"value": 40, "low": 40, "high": 40}
    assert mixed["seconds"] == {"value": 16, "low": 1.75, "high": 32.5}
    assert mixed["peak-memory"] == {"value": 900, "low": 5, "high": 900}


def test_the_device_is_the_one_that_has_the_most_of_every_setting() -> None:
    assert common_device(measured(["H100"] * 3, ["H100"] * 2)) == (None, [])
    assert common_device(measured([None, None], [None])) == (None, [])
    device, notes = common_device(measured(["H100"] * 5 + ["T4"] * 2, ["H100", "T4", "T4", "A100"]))
    assert device == "T4"
    assert notes == [
        "pictures were drawn on several devices (6 on H100, 4 on T4, 1 on A100); seconds and memory are of T4 alone"
    ]


def test_devices_that_share_no_setting_are_told_to_mix() -> None:
    device, notes = common_device(measured(["H100", "H100"], ["T4", None]))
    assert device is None
    assert notes == [
        "seconds and memory mix devices, since no device drew pictures of every setting: "
        "2 on H100, 1 on T4, 1 on an unknown device"
    ]
