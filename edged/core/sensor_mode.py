"""Which of a sensor's modes to take: pure, whoever reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WHOLE_VIEW = 0.95
"""Such a share of the sensor's area is all of it: some modes lose a few rows at the edge."""


def choose_mode(modes: Sequence[Mapping[str, Any]], size_px: tuple[int, int], rate_hz: float) -> dict[str, Any]:
    """The sensor mode that sees everything the sensor can see, as picamera2's `sensor=`.

    Left to itself libcamera takes the mode nearest in size, and for 640 x 480 pixels most sensors' is a crop out of
    the middle: a camera that sees a third of the room.

    Args:
        modes: `Picamera2.sensor_modes`.

    Returns:
        The smallest mode that is fast enough and no smaller than `size_px`, else the largest that is fast enough;
        empty where the sensor tells nothing of its modes.
    """
    known = [mode for mode in modes if "crop_limits" in mode]
    if not known:
        return {}
    widest_px = max(_area(mode["crop_limits"][2:]) for mode in known)
    whole = [mode for mode in known if _area(mode["crop_limits"][2:]) >= WHOLE_VIEW * widest_px]
    fastest_hz = max(mode["fps"] for mode in whole)
    fast = [mode for mode in whole if mode["fps"] >= min(rate_hz, fastest_hz)]
    large = [mode for mode in fast if mode["size"][0] >= size_px[0] and mode["size"][1] >= size_px[1]]
    area_px = min(_area(mode["size"]) for mode in large) if large else max(_area(mode["size"]) for mode in fast)
    best = max((mode for mode in fast if _area(mode["size"]) == area_px), key=lambda mode: int(mode["bit_depth"]))
    return {"output_size": tuple(best["size"]), "bit_depth": best["bit_depth"]}


def _area(size: Sequence[int]) -> int:
    return size[0] * size[1]
