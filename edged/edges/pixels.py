"""Pixel work, always into a given buffer: crop, then shrink, then convert, then one table into the tensor.

Every step runs once, on the smallest picture that serves. cv2 silently allocates a new picture where `dst` does not
fit, so each plan is tried once when it is made and refuses to go on if a step did not write where it was told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.core.quantization import pixel_table
from edged.core.types import Box, Fit, ModelSpec, Pixels

# One thread: OpenCV's workers spin while they wait and would take a core from invoke().
cv2.setNumThreads(1)

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_PREFILTER_FACTOR = 3
"""From this shrink factor on, bilinear sampling skips whole pixels: average blocks first."""


MAX_PLANS = 256


def rotate(pixels: Pixels, rotate_deg: int, out: Pixels) -> None:
    """Turns a picture clockwise by 90, 180 or 270 degrees into `out`, whose sides must be swapped accordingly."""
    if cv2.rotate(pixels, _ROTATIONS[rotate_deg], dst=out) is not out:
        raise ValueError(f"rotated picture of {pixels.shape} does not fit {out.shape}")


def blacken(pixels: Pixels, boxes: Sequence[tuple[int, int, int, int]]) -> None:
    """Overwrites rectangles, (left, top, right, bottom) in pixels, with black."""
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = 0


class Preprocessor:
    """From a region of a BGR frame to the input tensor, for one model.

    Args:
        spec: says color, mean, std and the input tensor.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._size = spec.input_size
        self._grey = spec.input.color == "grey"
        self._code = {"rgb": cv2.COLOR_BGR2RGB, "grey": cv2.COLOR_BGR2GRAY, "bgr": None}[spec.input.color]
        table = pixel_table(spec.input, spec.input_tensor)
        self._eight_bit = spec.input_tensor.quantization is not None
        # cv2 knows no int8 tables: the bytes are the same as uint8, and so are the tensor's.
        self._table: NDArray[Any] = table.view(np.uint8) if self._eight_bit else table
        self._flip = _flipped_bits(self._table)
        bars = np.rint(np.broadcast_to(spec.input.mean, 3)).clip(0, 255)
        self._bars = bars[::-1] if spec.input.color == "rgb" else bars
        self._plans: dict[tuple[Box, Fit, tuple[int, ...]], Plan] = {}

    def into(self, pixels: Pixels, box: Box, fit: Fit, tensor: NDArray[Any]) -> None:
        """Writes one region into the input tensor.

        Args:
            pixels: (height, width, 3) uint8 BGR; read only.
            box, fit: of the region.
            tensor: the interpreter's own view, (1, height, width, channels); not kept.
        """
        target = tensor[0, :, :, 0] if self._grey else tensor[0]
        if self._eight_bit:
            target = target.view(np.uint8)
        key = (box, fit, pixels.shape)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()  # a camera that keeps changing its size
            plan = self._plans[key] = self._plan(box, fit, pixels.shape)
            if plan(pixels, target) is not target:
                raise ValueError(f"cv2 did not write into the input tensor of {tensor.shape} {tensor.dtype}")
        else:
            plan(pixels, target)

    def _plan(self, box: Box, fit: Fit, shape: tuple[int, ...]) -> Plan:
        """The steps for one region of frames of one size, with every buffer that they need."""
        height_px, width_px = shape[:2]
        crop, inner = geometry(box.pixels(width_px, height_px), fit, self._size)
        canvas = np.empty((self._size[1], self._size[0], 3), dtype=np.uint8)
        canvas[:] = self._bars
        left, top, right, bottom = inner
        shrink = _shrink(crop, canvas[top:bottom, left:right])
        code, flip, table = self._code, self._flip, self._table
        converted = np.empty(canvas.shape[:2] if self._grey else canvas.shape, dtype=np.uint8)

        def look_up(pixels: Pixels, target: Pixels) -> Any:
            shrink(pixels)
            small = canvas if code is None else cv2.cvtColor(canvas, code, dst=converted)
            return cv2.LUT(small, table, dst=target)

        if flip is None:
            return look_up

        def flip_bits(pixels: Pixels, target: Pixels) -> Any:
            shrink(pixels)
            small = canvas if code is None else cv2.cvtColor(canvas, code, dst=target)
            return np.bitwise_xor(small, flip, out=target)

        return flip_bits


Plan = Callable[[Pixels, Pixels], Any]
"""From a frame to the input tensor, which it returns; a float tensor comes as float32."""


def _flipped_bits(table: NDArray[Any]) -> np.uint8 | None:
    """What a table does to a pixel where that is an exclusive or with a constant: 0x80 for `q = pixel - 128`.

    So it is with most quantized models, and then the tensor itself serves as the buffer: a fifth less to do.
    """
    if table.dtype != np.uint8 or table.shape[2] != 1:
        return None
    flip = np.uint8(table[0, 0, 0])
    return flip if np.array_equal(table[0, :, 0], np.arange(256, dtype=np.uint8) ^ flip) else None


def geometry(
    box_px: tuple[int, int, int, int], fit: Fit, size: tuple[int, int]
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """What is taken from the frame and where it lands in the model's input.

    Args:
        box_px: the region, (left, top, right, bottom).
        fit: stretch: all of it, out of shape; center-crop: the largest centred part of the input's shape; letterbox:
            all of it in shape, with bars.
        size: (width_px, height_px) of the input.

    Returns:
        (left, top, right, bottom) in the frame, and in the input.
    """
    left, top, right, bottom = box_px
    width, height = right - left, bottom - top
    full = (0, 0, *size)
    if fit == "stretch":
        return box_px, full
    if fit == "center-crop":
        scale = min(width / size[0], height / size[1])
        w, h = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        x, y = left + (width - w) // 2, top + (height - h) // 2
        return (x, y, x + w, y + h), full
    scale = min(size[0] / width, size[1] / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = (size[0] - w) // 2, (size[1] - h) // 2
    return box_px, (x, y, x + w, y + h)


def _shrink(crop: tuple[int, int, int, int], out: Pixels) -> Callable[[Pixels], None]:
    left, top, right, bottom = crop
    size = (out.shape[1], out.shape[0])
    factor_x, factor_y = (right - left) / size[0], (bottom - top) / size[1]
    exact = factor_x == factor_y and factor_x.is_integer()
    blocks = int(min(factor_x, factor_y))
    if exact or blocks < _PREFILTER_FACTOR:
        # INTER_AREA at a factor that is no integer costs a fifth of an invoke and gains nothing measurable.
        interpolation = cv2.INTER_AREA if exact else cv2.INTER_LINEAR

        def once(pixels: Pixels) -> None:
            cv2.resize(pixels[top:bottom, left:right], size, dst=out, interpolation=interpolation)

        return once
    half = np.empty(((bottom - top) // blocks, (right - left) // blocks, 3), dtype=np.uint8)
    right, bottom = left + half.shape[1] * blocks, top + half.shape[0] * blocks

    def twice(pixels: Pixels) -> None:
        cv2.resize(pixels[top:bottom, left:right], half.shape[1::-1], dst=half, interpolation=cv2.INTER_AREA)
        cv2.resize(half, size, dst=out, interpolation=cv2.INTER_LINEAR)

    return twice
