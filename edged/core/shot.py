"""What a camera delivers, before anybody has seen it: the nouns of the camera edge, which never leave it."""

from __future__ import annotations

from dataclasses import dataclass

from edged.core.types import Encoding, Pixels

RECENT_S = 5.0
"""How old a picture's own time may be to be believed."""
DAMAGED_IN_A_ROW = 5
"""So many damaged pictures are a broken camera; single ones are everyday life on USB."""


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """What a camera delivers.

    Attributes:
        width_px, height_px: of the picture as it comes, before rotation.
        encoding: bgr: (height, width, 3); yuyv: (height, width, 2), YUV 4:2:2 as Y0 U Y1 V; yuv420: the planes Y, U, V
            one after the other (I420), without padding; jpeg: one JPEG file a picture.
    """

    width_px: int
    height_px: int
    encoding: Encoding

    @property
    def size_bytes(self) -> int:
        """Of one picture; for jpeg the most that is taken."""
        pixels = self.width_px * self.height_px
        return {"bgr": pixels * 3, "yuyv": pixels * 2, "yuv420": pixels * 3 // 2, "jpeg": pixels * 2}[self.encoding]


@dataclass(slots=True)
class Shot:
    """One picture as the driver delivered it: not decoded, not rotated, not masked. Never leaves the camera edge.

    Attributes:
        data: (PictureFormat.size_bytes,) uint8, a kept buffer.
        size_bytes: how much of it is the picture.
        t_s: when it was taken, monotonic seconds (for a clip: the clip's own time).
    """

    data: Pixels
    size_bytes: int
    t_s: float


def taken_s(stamp_s: float, now_s: float) -> float:
    """When a picture was taken: what the driver says, or now where that cannot be believed; monotonic seconds."""
    return stamp_s if now_s - RECENT_S <= stamp_s <= now_s else now_s
