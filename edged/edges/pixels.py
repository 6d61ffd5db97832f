"""From a region of a frame to the input tensor: crop, then shrink, then convert, then turn, then one table.

Law: every step runs once, on the smallest picture that serves, into a given buffer. cv2 silently allocates a new
picture where `dst` does not fit, so each plan is tried once when it is made and refuses to go on if a step did not
write where it was told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.core.quantization import pixel_table
from edged.core.types import Box, Encoding, Fit, Frame, ModelSpec, Pixels, Region
from edged.edges.pixels_sampling import sampler

# One thread: OpenCV's workers spin while they wait and would take a core from invoke().
cv2.setNumThreads(1)

ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
MAX_PLANS = 256


class Preprocessor:
    """From a region of a frame to the input tensor, for one model.

    Args:
        spec: says color, mean, std and the input tensor.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._size = spec.input_size
        self._color = spec.input.color
        table = pixel_table(spec.input, spec.input_tensor)
        self._eight_bit = spec.input_tensor.quantization is not None
        # cv2 knows no int8 tables: the bytes are the same as uint8, and so are the tensor's.
        self._table: NDArray[Any] = table.view(np.uint8) if self._eight_bit else table
        self._flip = _flipped_bits(self._table)
        self._bars = np.rint(np.broadcast_to(spec.input.mean, 3)).clip(0, 255)
        self._plans: dict[tuple[Box, Fit, tuple[int, ...], Encoding, int], Plan] = {}

    def into(self, frame: Frame, box: Box, fit: Fit, tensor: NDArray[Any]) -> None:
        """Writes one region into the input tensor.

        Args:
            frame: read only.
            box, fit: of the region.
            tensor: the interpreter's own view, (1, height, width, channels); not kept.
        """
        target = tensor[0, :, :, 0] if self._color == "grey" else tensor[0]
        if self._eight_bit:
            target = target.view(np.uint8)
        pixels = frame.pixels
        key = (box, fit, pixels.shape, frame.encoding, frame.rotate_deg)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()  # a camera that keeps changing its size
            plan = self._plans[key] = self._plan(box, fit, pixels.shape, frame.encoding, frame.rotate_deg)
            if plan(pixels, target) is not target:
                raise ValueError(f"cv2 did not write into the input tensor of {tensor.shape} {tensor.dtype}")
        else:
            plan(pixels, target)

    def _plan(self, box: Box, fit: Fit, shape: tuple[int, ...], encoding: Encoding, rotate_deg: int) -> Plan:
        """The steps for one region of frames of one kind, with every buffer that they need."""
        size_px = (shape[1], shape[0] * 2 // 3 if encoding == "yuv420" else shape[0])
        crop, inner = placed(box, fit, size_px, self._size, rotate_deg)
        width_px, height_px = self._size if rotate_deg in (0, 180) else self._size[::-1]
        # YUV becomes what the model wants at once, BGR is converted when it is small.
        rgb = encoding != "bgr" and self._color == "rgb"
        canvas = np.empty((height_px, width_px, 3), dtype=np.uint8)
        canvas[:] = self._bars if rgb or self._color != "rgb" else self._bars[::-1]
        left, top, right, bottom = inner
        sample = sampler(encoding, size_px, crop, canvas[top:bottom, left:right], rgb)
        turn = _turning(canvas, rotate_deg)
        code = None if rgb else {"rgb": cv2.COLOR_BGR2RGB, "grey": cv2.COLOR_BGR2GRAY, "bgr": None}[self._color]
        flip, table = self._flip, self._table
        grey = self._color == "grey"
        converted = np.empty(self._size[::-1] if grey else (*self._size[::-1], 3), dtype=np.uint8)

        def look_up(pixels: Pixels, target: Pixels) -> Any:
            sample(pixels)
            small = turn()
            return cv2.LUT(small if code is None else cv2.cvtColor(small, code, dst=converted), table, dst=target)

        if flip is None:
            return look_up

        def flip_bits(pixels: Pixels, target: Pixels) -> Any:
            sample(pixels)
            small = turn()
            return np.bitwise_xor(small if code is None else cv2.cvtColor(small, code, dst=target), flip, out=target)

        return flip_bits


Plan = Callable[[Pixels, Pixels], Any]
"""From a frame's pixels to the input tensor, which it returns; a float tensor comes as float32."""


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


def placed(
    box: Box, fit: Fit, frame_px: tuple[int, int], size: tuple[int, int], rotate_deg: int
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """`geometry` of a region in a picture that is yet to be turned: all of it as the sensor saw it.

    Args:
        box: of the turned picture.
        frame_px: (width_px, height_px) as the picture lies in memory.
        size: (width_px, height_px) of the model's input.
    """
    inner_size = size if rotate_deg in (0, 180) else size[::-1]
    return geometry(box.turned_back(rotate_deg).pixels(*frame_px), fit, inner_size)


def least_scale(regions: Sequence[Region], size: tuple[int, int], frame_px: tuple[int, int], rotate_deg: int) -> float:
    """How far a picture may be shrunk, at most 1, before some region has fewer pixels than the model takes."""
    scale = 0.0
    for region in regions:
        crop, inner = placed(region.box, region.fit, frame_px, size, rotate_deg)
        scale = max(scale, (inner[2] - inner[0]) / (crop[2] - crop[0]), (inner[3] - inner[1]) / (crop[3] - crop[1]))
    return min(scale, 1.0) or 1.0


def _turning(canvas: Pixels, rotate_deg: int) -> Callable[[], Pixels]:
    """What gives the canvas as people see it."""
    if not rotate_deg:
        return lambda: canvas
    height, width = canvas.shape[:2]
    turned = np.empty((height, width, 3) if rotate_deg == 180 else (width, height, 3), dtype=np.uint8)
    code = ROTATIONS[rotate_deg]

    def turn() -> Pixels:
        cv2.rotate(canvas, code, dst=turned)
        return turned

    return turn
