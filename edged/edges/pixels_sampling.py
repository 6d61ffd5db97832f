"""From a part of a picture to a smaller one in RGB or BGR, whatever the camera's encoding.

Law: what is cut away is never touched, and colours are made when the picture is small. YUV is sampled plane by plane
at the size that is wanted, brightness and colour each at its own resolution, and converted then: a picture of
640x480 pixels is converted at 224x224.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edged.core.types import Encoding, Pixels

PREFILTER_FACTOR = 3
"""From this shrink factor on, bilinear sampling skips whole pixels: average blocks first."""

Crop = tuple[int, int, int, int]
Sampler = Callable[[Pixels], None]
"""From a frame's pixels into the buffer that it was made for."""


def sampler(encoding: Encoding, size_px: tuple[int, int], crop: Crop, out: Pixels, rgb: bool) -> Sampler:
    """Fills `out` from the part `crop` of pictures of one kind.

    Args:
        encoding: bgr, yuyv or yuv420.
        size_px: (width_px, height_px) of the pictures; even for yuyv and yuv420.
        crop: (left, top, right, bottom) in pixels.
        out: (height, width, 3) uint8; may be a part of a larger array.
        rgb: the order of colours for yuyv and yuv420; bgr stays as it is.
    """
    if encoding == "bgr":
        return shrinker(crop, out)
    height, width = out.shape[:2]
    even = (height + height % 2, width + width % 2)
    # Colour has half the resolution: both sides must be even. A row or column too many is cut off afterwards.
    whole = out if (height, width) == even else np.empty((*even, 3), dtype=np.uint8)
    convert = _yuyv(size_px, crop, whole, rgb) if encoding == "yuyv" else _yuv420(crop, whole, rgb)
    if whole is out:
        return convert

    def cut(pixels: Pixels) -> None:
        convert(pixels)
        np.copyto(out, whole[:height, :width])

    return cut


def _yuyv(size_px: tuple[int, int], crop: Crop, out: Pixels, rgb: bool) -> Sampler:
    """Brightness from pairs (Y, U or V), colour from fours (Y0, U, Y1, V)."""
    left, top, right, bottom = crop
    height, width = out.shape[:2]
    pairs = np.empty((height, width, 2), dtype=np.uint8)
    fours = np.empty((height // 2, width // 2, 4), dtype=np.uint8)
    luma, chroma = np.empty((height, width), dtype=np.uint8), np.empty((height // 2, width // 2, 2), dtype=np.uint8)
    shrink_pairs = shrinker(crop, pairs)
    shrink_fours = shrinker((left // 2, top, (right + 1) // 2, bottom), fours)
    code = cv2.COLOR_YUV2RGB_NV12 if rgb else cv2.COLOR_YUV2BGR_NV12
    as_fours = (size_px[1], size_px[0] // 2, 4)

    def sample(pixels: Pixels) -> None:
        shrink_pairs(pixels)
        shrink_fours(pixels.reshape(as_fours))
        cv2.extractChannel(pairs, 0, dst=luma)
        cv2.mixChannels([fours], [chroma], [1, 0, 3, 1])
        cv2.cvtColorTwoPlane(luma, chroma, code, dst=out)

    return sample


def _yuv420(crop: Crop, out: Pixels, rgb: bool) -> Sampler:
    """Plane by plane."""
    left, top, right, bottom = crop
    half = (left // 2, top // 2, (right + 1) // 2, (bottom + 1) // 2)
    height, width = out.shape[:2]
    small = np.empty((height * 3 // 2, width), dtype=np.uint8)
    shrinkers = [shrinker(part, plane) for part, plane in zip((crop, half, half), planes(small), strict=True)]
    code = cv2.COLOR_YUV2RGB_I420 if rgb else cv2.COLOR_YUV2BGR_I420

    def sample(pixels: Pixels) -> None:
        for shrink, plane in zip(shrinkers, planes(pixels), strict=True):
            shrink(plane)
        cv2.cvtColor(small, code, dst=out)

    return sample


def planes(pixels: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """Y, U and V of a (height * 3 / 2, width) I420 picture, as views."""
    height, width = pixels.shape[0] * 2 // 3, pixels.shape[1]
    colours = pixels.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    return pixels[:height], colours[0], colours[1]


def shrinker(crop: Crop, out: Pixels) -> Sampler:
    """Brings the part `crop` of a picture to the size of `out`, whatever its channels are."""
    left, top, right, bottom = crop
    size = (out.shape[1], out.shape[0])
    factor_x, factor_y = (right - left) / size[0], (bottom - top) / size[1]
    exact = factor_x == factor_y and factor_x.is_integer()
    blocks = int(min(factor_x, factor_y))
    if exact or blocks < PREFILTER_FACTOR:
        # INTER_AREA at a factor that is no integer costs a fifth of an invoke and gains nothing measurable.
        interpolation = cv2.INTER_AREA if exact else cv2.INTER_LINEAR

        def once(pixels: Pixels) -> None:
            cv2.resize(pixels[top:bottom, left:right], size, dst=out, interpolation=interpolation)

        return once
    half = np.empty(((bottom - top) // blocks, (right - left) // blocks, *out.shape[2:]), dtype=np.uint8)
    right, bottom = left + half.shape[1] * blocks, top + half.shape[0] * blocks

    def twice(pixels: Pixels) -> None:
        cv2.resize(pixels[top:bottom, left:right], half.shape[1::-1], dst=half, interpolation=cv2.INTER_AREA)
        cv2.resize(half, size, dst=out, interpolation=cv2.INTER_LINEAR)

    return twice
