"""A short look through a camera: what it delivers, how fast, and whether the pictures show anything.

Law: what leaves this file are numbers and words. A picture is masked before it is looked at, lives in one buffer, and
is gone when this returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edged.core.detail import Cells, Detail
from edged.core.shot import PictureFormat, Shot
from edged.core.types import Box
from edged.edges.pixels_shot import Developer
from edged.ports import Clock, Source

PICTURES = 20
LOOK_S = 3.0
"""The look is over after so many pictures, or so long: enough for the exposure to settle on most cameras."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came.

    Attributes:
        rate_hz: pictures a second; None where there were too few to tell.
        bare: black, blinded or covered, where the last pictures show nothing; else None.
    """

    format: PictureFormat
    pictures: int
    rate_hz: float | None
    bare: str | None


def look(source: Source, clock: Clock, masks: Sequence[Box], rotate_deg: int, pictures: int = PICTURES) -> Trial:
    """Opens the camera, takes some pictures, and gives it back. Every call of the source may block.

    Args:
        pictures: how many to take, at least one.

    Raises:
        CameraError: it does not open, delivers nothing, or what it delivers cannot be decoded.
    """
    try:
        picture_format = source.open()
        developer = Developer(picture_format, rotate_deg, masks, 1.0)
        shot = Shot(np.empty(picture_format.size_bytes, np.uint8), 0, 0.0)
        detail: Detail | None = None
        times_s = list[float]()
        began_s = clock.monotonic()
        while len(times_s) < pictures and (not times_s or clock.monotonic() - began_s < LOOK_S):
            t_s = source.grab()
            if t_s is None:
                break
            shot.t_s = t_s
            source.retrieve(shot)
            luma = developer.frame(shot).luma
            if detail is None:
                cells = Cells((luma.shape[0], luma.shape[1]), masks)
                detail, levels = Detail(cells.seen), np.zeros(cells.seen.shape, np.float32)
            cells.of(luma, levels)
            detail.look(levels, shot.t_s - times_s[-1] if times_s else 0.0)
            times_s.append(shot.t_s)
    finally:
        source.close()
    span_s = times_s[-1] - times_s[0] if times_s else 0.0
    rate_hz = (len(times_s) - 1) / span_s if len(times_s) > 2 and span_s > 0 else None
    return Trial(picture_format, len(times_s), rate_hz, None if detail is None else detail.name)
