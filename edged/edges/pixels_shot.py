"""From what a driver delivered to a Frame: masks first, then as little as is asked for.

Law: privacy masks are laid on here, before anything else reads a picture; whatever leaves this file is masked. JPEG is
decoded at the smallest scale that serves, and only as far as somebody looks; no other encoding is converted at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from edged.core.shot import PictureFormat, Shot
from edged.core.types import Box, Encoding, Frame, Pixels
from edged.edges import pixels_jpeg
from edged.edges.pixels import ROTATIONS
from edged.edges.pixels_sampling import planes

LUMA_PX = 60
"""The shorter side of `Frame.luma` at least: a twentieth of the picture is then a few hundred of its pixels."""
SAMPLES, DECODED_SAMPLES = 512, 16384
"""So many bytes, all over a picture, tell whether it is the one before: the noise of a living sensor is in all of them.
Each is a cache line to fetch, so no more than enough: if 4 of 5 stay the same from picture to picture, all do once in
10^49 pictures. JPEG takes most noise away; but what was decoded just now is at hand."""
BLACK_Y, NO_COLOUR = 16, 128
BLOCK_PX = 16
"""The side of the largest block of a JPEG, where its colours have half the resolution."""

Rectangle = tuple[int, int, int, int]
Made = tuple[Pixels | Callable[[], Pixels], Pixels | Callable[[], Pixels], bool]
"""Pixels and luma of a Frame, or what makes them, and whether the picture is the one before."""


class Developer:
    """Makes frames of shots of one format, one at a time: each is good until the next.

    Args:
        rotate_deg: 0, 90, 180 or 270, clockwise.
        masks: fractions of the picture after rotation; every pixel that one of them touches is black.
        least_scale: how far a picture may be shrunk before regions lose what the model would see, at most 1.

    Attributes:
        decoded: how often a picture was decoded, at whatever scale.
    """

    def __init__(
        self, picture_format: PictureFormat, rotate_deg: int, masks: Sequence[Box], least_scale: float
    ) -> None:
        self.format = picture_format
        self.decoded = 0
        self._rotate_deg = rotate_deg
        unturned = [mask.turned_back(rotate_deg) for mask in masks]
        luma = _Luma(picture_format, rotate_deg, unturned)
        self._make: Callable[[Shot], Made]
        if picture_format.encoding == "jpeg":
            factor = pixels_jpeg.factor_for(least_scale)
            self._make = _Jpeg(picture_format, unturned, luma, factor, self._decode).make
        else:
            makers = {"bgr": _bgr, "yuyv": _yuyv, "yuv420": _yuv420}
            self._make = makers[picture_format.encoding](picture_format, unturned, luma)
        self._encoding: Encoding = "bgr" if picture_format.encoding == "jpeg" else picture_format.encoding

    def frame(self, shot: Shot) -> Frame:
        """The picture, masked. `shot.data` is its buffer, and is written into.

        Raises:
            CameraError: the picture is damaged.
        """
        pixels, luma, repeated = self._make(shot)
        return Frame(pixels, shot.t_s, luma, repeated, encoding=self._encoding, rotate_deg=self._rotate_deg)

    def _decode(self, data: Pixels, factor: int, out: Pixels) -> None:
        self.decoded += 1
        size_px = self.format.width_px, self.format.height_px
        pixels_jpeg.decode(data, size_px, factor, out)


class _Repeats:
    """Whether a picture is the one before, as far as anyone may see it: a clock under a mask changes nothing."""

    def __init__(self, samples: int = SAMPLES) -> None:
        self._samples = samples
        self._kept = np.zeros(2 * samples, dtype=np.uint8)
        self._size_bytes = 0

    def again(self, masked: Pixels) -> bool:
        """To be asked once for every picture, with its masks on.

        Args:
            masked: all of its bytes, contiguous.
        """
        step = (masked.size // self._samples) | 1  # odd: brightness and colours alike
        sample = masked.reshape(-1)[::step]
        kept = self._kept[: len(sample)]
        if masked.size == self._size_bytes and np.array_equal(sample, kept):
            return True
        np.copyto(kept, sample)
        self._size_bytes = masked.size
        return False


class _Luma:
    """The small picture of brightness: turned, masked, in buffers of its own."""

    def __init__(self, picture_format: PictureFormat, rotate_deg: int, masks: Sequence[Box]) -> None:
        width_px, height_px = picture_format.width_px, picture_format.height_px
        if picture_format.encoding == "jpeg":
            height, width = pixels_jpeg.shape_at(8, width_px, height_px)
        else:
            factor = max(1, min(width_px, height_px) // LUMA_PX)
            height, width = max(1, height_px // factor), max(1, width_px // factor)
        self.shape = (height, width)
        self.size = (width, height)
        self.small = np.zeros(self.shape, dtype=np.uint8)
        self._code = ROTATIONS[rotate_deg] if rotate_deg else None
        self._turned = np.zeros(self.shape if rotate_deg in (0, 180) else self.size, dtype=np.uint8)
        if picture_format.encoding == "jpeg":
            self._boxes = [_of_blocks(mask, picture_format, 8) for mask in masks]
        else:
            # A pixel here is a mixture of many: one more on each side, so that none has a share of what is hidden.
            self._boxes = [_grown(mask.covering(width, height), 1) for mask in masks]

    def finished(self) -> Pixels:
        """What lies in `small`, masked and turned."""
        _fill(self.small, self._boxes, 0)
        if self._code is None:
            return self.small
        cv2.rotate(self.small, self._code, dst=self._turned)
        return self._turned


def _bgr(picture_format: PictureFormat, masks: Sequence[Box], luma: _Luma) -> Callable[[Shot], Made]:
    shape = (picture_format.height_px, picture_format.width_px, 3)
    boxes = [mask.covering(picture_format.width_px, picture_format.height_px) for mask in masks]
    small = np.zeros((*luma.shape, 3), dtype=np.uint8)
    repeats = _Repeats()

    def make(shot: Shot) -> Made:
        pixels = shot.data.reshape(shape)
        _fill(pixels, boxes, 0)

        def brightness() -> Pixels:
            cv2.resize(pixels, luma.size, dst=small, interpolation=cv2.INTER_LINEAR)
            cv2.cvtColor(small, cv2.COLOR_BGR2GRAY, dst=luma.small)
            return luma.finished()

        return pixels, brightness, repeats.again(pixels)

    return make


def _yuyv(picture_format: PictureFormat, masks: Sequence[Box], luma: _Luma) -> Callable[[Shot], Made]:
    shape = (picture_format.height_px, picture_format.width_px, 2)
    boxes = _paired(masks, picture_format)
    small = np.zeros((*luma.shape, 2), dtype=np.uint8)
    black = np.array([BLACK_Y, NO_COLOUR], dtype=np.uint8)
    repeats = _Repeats()

    def make(shot: Shot) -> Made:
        pixels = shot.data.reshape(shape)
        _fill(pixels, boxes, black)

        def brightness() -> Pixels:
            cv2.resize(pixels, luma.size, dst=small, interpolation=cv2.INTER_LINEAR)
            cv2.extractChannel(small, 0, dst=luma.small)
            return luma.finished()

        return pixels, brightness, repeats.again(pixels)

    return make


def _yuv420(picture_format: PictureFormat, masks: Sequence[Box], luma: _Luma) -> Callable[[Shot], Made]:
    shape = (picture_format.height_px * 3 // 2, picture_format.width_px)
    boxes = _paired(masks, picture_format)
    halves = [(left // 2, top // 2, right // 2, bottom // 2) for left, top, right, bottom in boxes]
    repeats = _Repeats()

    def make(shot: Shot) -> Made:
        pixels = shot.data.reshape(shape)
        whole, *colours = planes(pixels)
        _fill(whole, boxes, BLACK_Y)
        for plane in colours:
            _fill(plane, halves, NO_COLOUR)

        def brightness() -> Pixels:
            cv2.resize(whole, luma.size, dst=luma.small, interpolation=cv2.INTER_LINEAR)
            return luma.finished()

        return pixels, brightness, repeats.again(pixels)

    return make


class _Jpeg:
    """Decodes brightness alone, at an eighth, while nobody classifies; the picture, while somebody does."""

    def __init__(
        self,
        picture_format: PictureFormat,
        masks: Sequence[Box],
        luma: _Luma,
        factor: int,
        decode: Callable[[Pixels, int, Pixels], None],
    ) -> None:
        shape = pixels_jpeg.shape_at(factor, picture_format.width_px, picture_format.height_px)
        self._factor, self._decode = factor, decode
        self._picture = np.zeros((*shape, 3), dtype=np.uint8)
        self._boxes = [_of_blocks(mask, picture_format, factor) for mask in masks]
        self._luma = luma
        self._small = np.zeros((*luma.shape, 3), dtype=np.uint8)
        self._wanted = False
        # The two ways to brightness differ by a little, so each has a memory of its own.
        self._repeats = {way: _Repeats(DECODED_SAMPLES) for way in ("whole", "eighth")} if masks else {}
        self._repeated_bytes = _Repeats()

    def make(self, shot: Shot) -> Made:
        data = shot.data[: shot.size_bytes]
        # Who classified the last one will want this one, too: then brightness comes from the decoded picture.
        wanted, self._wanted = self._wanted, False
        if wanted:
            picture = self._decoded(data)
            return lambda: self._looked_at(picture), self._luma_of_picture, self._again(data, "whole", picture)
        self._decode(data, 8, self._luma.small[:, :, np.newaxis])
        luma = self._luma.finished()
        again = self._again(data, "eighth", luma)
        return lambda: self._looked_at(self._decoded(data)), luma, again

    def _again(self, data: Pixels, way: str, masked: Pixels) -> bool:
        """Where nothing is masked the file itself tells, and more exactly."""
        repeats = self._repeats.get(way)
        return self._repeated_bytes.again(data) if repeats is None else repeats.again(masked)

    def _looked_at(self, picture: Pixels) -> Pixels:
        self._wanted = True
        return picture

    def _decoded(self, data: Pixels) -> Pixels:
        self._decode(data, self._factor, self._picture)
        _fill(self._picture, self._boxes, 0)
        return self._picture

    def _luma_of_picture(self) -> Pixels:
        # The mean of each block, as an eighth of a JPEG is: the gate must not take a change of ways for movement.
        cv2.resize(self._picture, self._luma.size, dst=self._small, interpolation=cv2.INTER_AREA)
        cv2.cvtColor(self._small, cv2.COLOR_BGR2GRAY, dst=self._luma.small)
        return self._luma.finished()


def _paired(masks: Sequence[Box], picture_format: PictureFormat) -> list[Rectangle]:
    """Rectangles whose edges are even: neighbours share their colour."""
    boxes = (mask.covering(picture_format.width_px, picture_format.height_px) for mask in masks)
    return [(left // 2 * 2, top // 2 * 2, right + right % 2, bottom + bottom % 2) for left, top, right, bottom in boxes]


def _of_blocks(mask: Box, picture_format: PictureFormat, factor: int) -> Rectangle:
    """Every block that the mask touches, at 1/factor: JPEG has mixed the pixels of a block before edged gets it."""
    left, top, right, bottom = mask.covering(picture_format.width_px, picture_format.height_px)
    left, top, right, bottom = left // BLOCK_PX, top // BLOCK_PX, -(-right // BLOCK_PX), -(-bottom // BLOCK_PX)
    side = BLOCK_PX // factor
    return _grown((left * side, top * side, right * side, bottom * side), 1)


def _grown(box: Rectangle, by_px: int) -> Rectangle:
    left, top, right, bottom = box
    return max(left - by_px, 0), max(top - by_px, 0), right + by_px, bottom + by_px


def _fill(pixels: Pixels, boxes: Sequence[Rectangle], value: int | Pixels) -> None:
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = value
