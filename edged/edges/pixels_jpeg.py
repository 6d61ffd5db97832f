"""JPEG into a kept buffer, at half, quarter or eighth scale where that serves. The only door to simplejpeg.

Law: `cv2.imdecode` takes no buffer and decodes every pixel first; it serves where simplejpeg has no wheel. A picture
that is not whole is refused: grey where the rest should be is not what the camera saw. What many webcams get wrong and
every viewer forgives (bytes too many before a marker, no Huffman tables) is forgiven.
"""

from __future__ import annotations

import cv2
import numpy as np

from edged.core.errors import CameraError
from edged.core.types import Pixels

try:
    import simplejpeg
except ImportError:  # 32-bit boards
    simplejpeg = None

FACTORS = (8, 4, 2)
"""What libjpeg-turbo leaves out while it decodes; the factors in between have no fast code and cost more than 2."""
END = b"\xff\xd9"
FORGIVEN = "extraneous bytes"
PADDING_BYTES = 64
"""Drivers fill up the last block; so far from the end of the data the end of the picture is looked for."""

_REDUCED = {
    (1, 3): cv2.IMREAD_COLOR,
    (2, 3): cv2.IMREAD_REDUCED_COLOR_2,
    (4, 3): cv2.IMREAD_REDUCED_COLOR_4,
    (8, 3): cv2.IMREAD_REDUCED_COLOR_8,
    (8, 1): cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def factor_for(scale: float) -> int:
    """The largest factor that leaves at least `scale` of a picture's width and height."""
    return next((factor for factor in FACTORS if 1.0 / factor >= scale), 1)


def shape_at(factor: int, width_px: int, height_px: int) -> tuple[int, int]:
    """(height, width) of a picture that is decoded at 1/factor."""
    return -(-height_px // factor), -(-width_px // factor)


def decode(data: Pixels, size_px: tuple[int, int], factor: int, out: Pixels) -> None:
    """Decodes one JPEG file.

    Args:
        data: (bytes,) uint8.
        size_px: (width_px, height_px) of the whole picture.
        factor: 1, 2, 4 or 8.
        out: (height, width, 3) uint8 for BGR, (height, width, 1) for brightness alone, at 1/factor of the picture.

    Raises:
        CameraError: it is damaged, or has another size (reason camera_fault).
    """
    found = _by_opencv(data, factor, out.shape[2]) if simplejpeg is None else _by_simplejpeg(data, size_px, out)
    if found.shape != out.shape:
        raise _another_size()
    if not np.shares_memory(found, out):
        np.copyto(out, found)


def _by_simplejpeg(data: Pixels, size_px: tuple[int, int], out: Pixels) -> Pixels:
    height, width, channels = out.shape
    order = "BGR" if channels == 3 else "GRAY"
    for strict in (True, False):
        try:
            full_height, full_width, *_ = simplejpeg.decode_jpeg_header(data, strict=strict)
            # Asked for more than a picture has, libjpeg-turbo would enlarge it; and at an eighth sizes look alike.
            if (full_width, full_height) != size_px:
                raise _another_size()
            # The least height and width choose the factor.
            found: Pixels = simplejpeg.decode_jpeg(
                data, order, True, True, min_height=height, min_width=width, buffer=out, strict=strict
            )
        except ValueError as error:
            if not strict or FORGIVEN not in str(error) or END not in data[-PADDING_BYTES:].tobytes():
                raise CameraError("a picture is damaged") from None
        else:
            return found
    raise AssertionError("the second try returns or raises")


def _another_size() -> CameraError:
    return CameraError("its pictures have another size than it said", "camera_fault")


def _by_opencv(data: Pixels, factor: int, channels: int) -> Pixels:
    found = cv2.imdecode(data, _REDUCED[factor, channels])
    if found is None or END not in data[-PADDING_BYTES:].tobytes():
        raise CameraError("a picture is damaged")
    return found.reshape(*found.shape[:2], channels)  # type: ignore[return-value]
