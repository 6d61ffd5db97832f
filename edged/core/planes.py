"""Pictures whose brightness and colours lie apart, as image processors make them."""

from __future__ import annotations

import numpy as np

from edged.core.types import Pixels


def copy_planes(buffer: Pixels, out: Pixels, size_px: tuple[int, int], stride_px: int) -> int:
    """Copies the planes of a YUV420 picture without the padding of their rows; no other memory is touched.

    Args:
        buffer: (at least stride_px * height * 3 / 2,) uint8; rows of U and V are half as long as `stride_px`.
        out: (at least width * height * 3 / 2,) uint8, for the planes Y, U, V one after the other.

    Returns:
        How many bytes of `out` were written.

    Raises:
        ValueError: one of the two is too small.
    """
    width_px, height_px = size_px
    source = target = 0
    for width, height, stride in (
        (width_px, height_px, stride_px),
        (width_px // 2, height_px // 2, stride_px // 2),
        (width_px // 2, height_px // 2, stride_px // 2),
    ):
        rows = buffer[source : source + stride * height].reshape(height, stride)
        np.copyto(out[target : target + width * height].reshape(height, width), rows[:, :width])
        source += stride * height
        target += width * height
    return target
