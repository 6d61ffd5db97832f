"""Which format, size and rate of a V4L2 camera is asked for: a decision, made from what the device says it has.

Law: pure; touches no device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edged.core.types import Encoding
from edged.edges.camera_v4l2_device import Device, Format, Size

RAW: dict[str, Encoding] = {"YUYV": "yuyv", "MJPG": "jpeg", "JPEG": "jpeg"}
"""Formats that are taken as they come."""
COLOR = ("UYVY", "NV12", "NV21", "YU12", "YV12", "BGR3", "RGB3", "XR24", "AR24")
PLAIN = ("BA81", "GBRG", "GRBG", "GREY", "Y10 ", "Y12 ", "Y16 ")
"""With `COLOR`, what OpenCV makes BGR of (cap_v4l.cpp, `convertToRgb`); Bayer and grey only where there is no other."""

RAW_BYTES_PER_S = 20_000_000
"""What a USB 2 bus carries with ease; above it JPEG is asked for first."""
RATES = (5, 10, 15, 20, 24, 25, 30, 50, 60)
"""What cameras commonly offer, in pictures a second; tried where a driver does not tell."""
SLACK = 0.98
"""Such a part of the wanted rate counts as reached: 29.97 is 30."""
SAME_SHAPE = 0.02
MAX_TEXT_BYTES = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """What to ask a camera for.

    Attributes:
        rates_hz: to be tried in this order, low to high, until the driver takes one; never empty.
    """

    fourcc: str
    width_px: int
    height_px: int
    rates_hz: tuple[float, ...]


def encoding(fourcc: str) -> Encoding:
    """How pictures of a format arrive: as they are, or made BGR by OpenCV."""
    return RAW.get(fourcc, "bgr")


def is_readable(fourcc: str) -> bool:
    """Whether pictures of a format can be used at all."""
    return fourcc in RAW or fourcc in COLOR or fourcc in PLAIN


def choices(device: Device, width_px: int, height_px: int, fps: float) -> list[Choice]:
    """What to try, best first: one choice for each format that can be read.

    The size: the wanted one, else the smallest of the same shape that is not smaller, else the smallest that is not
    smaller, else the largest. The rate: the lowest that reaches `fps`, else the highest. A format comes before
    another by its size in this order, then if it reaches `fps`, then raw YUYV where a USB 2 bus carries it with ease,
    JPEG, YUYV, other colours, and grey last.

    Returns:
        Nothing where the device has nothing that can be read; what cameras commonly have where it tells nothing.
    """
    if not device.formats:
        return guesses(width_px, height_px, fps)
    found = [
        (_order(one.fourcc, choice, (width_px, height_px), fps), choice)
        for one in device.formats
        if is_readable(one.fourcc)
        for choice in _of_format(one, width_px, height_px, fps)
    ]
    best = dict[str, Choice]()
    for _, choice in sorted(found, key=lambda each: each[0]):
        best.setdefault(choice.fourcc, choice)
    return list(best.values())


def guesses(width_px: int, height_px: int, fps: float) -> list[Choice]:
    """What to try with a camera that does not say what it has."""
    fourccs = ["YUYV", "MJPG"]
    if width_px * height_px * 2 * fps > RAW_BYTES_PER_S:
        fourccs.reverse()
    return [Choice(fourcc, width_px, height_px, _common(fps)) for fourcc in fourccs]


def formats_text(formats: Iterable[Format]) -> str:
    """The formats' names, for a sentence, at most `MAX_TEXT_BYTES` long."""
    return _shortened([one.fourcc.strip() for one in formats])


def sizes_text(formats: Iterable[Format]) -> str:
    """The sizes of the formats that can be read, for a sentence, at most `MAX_TEXT_BYTES` long."""
    sizes, spans = set[tuple[int, int]](), set[str]()
    for one in formats:
        if one.span is not None:
            (least_w, most_w, _), (least_h, most_h, _) = one.span.width_px, one.span.height_px
            spans.add(f"{least_w} x {least_h} to {most_w} x {most_h}")
        elif is_readable(one.fourcc):
            sizes.update((size.width_px, size.height_px) for size in one.sizes)
    return _shortened([*sorted(spans), *(f"{width} x {height}" for width, height in sorted(sizes))])


def _of_format(one: Format, width_px: int, height_px: int, fps: float) -> Iterable[Choice]:
    for size in one.sizes or (Size(width_px, height_px),):
        yield Choice(one.fourcc, size.width_px, size.height_px, _rates(size, fps))


def _rates(size: Size, fps: float) -> tuple[float, ...]:
    if not size.rates_hz:
        return _common(fps)
    highest = size.rates_hz[-1]
    if highest < SLACK * fps:
        return (highest,)
    if size.any_rate:
        return tuple(rate for rate in (max(fps, size.rates_hz[0]), highest) if rate <= highest) or (highest,)
    return tuple(rate for rate in size.rates_hz if rate >= SLACK * fps)


def _common(fps: float) -> tuple[float, ...]:
    lowest = math.ceil(fps)
    return (lowest, *(rate for rate in RATES if rate > lowest))


def _order(fourcc: str, choice: Choice, wanted: tuple[int, int], fps: float) -> tuple[float, ...]:
    """The smaller, the better."""
    width_px, height_px = choice.width_px, choice.height_px
    area_px = width_px * height_px
    if (width_px, height_px) == wanted:
        fit = 0
    elif width_px < wanted[0] or height_px < wanted[1]:
        fit, area_px = 3, -area_px
    else:
        fit = 1 if abs(width_px * wanted[1] / (height_px * wanted[0]) - 1.0) < SAME_SHAPE else 2
    easy = width_px * height_px * 2 * choice.rates_hz[0] <= RAW_BYTES_PER_S
    if fourcc == "YUYV":
        rank = 0 if easy else 2
    else:
        rank = 1 if fourcc in RAW else 3 + (fourcc in PLAIN)
    return fit, choice.rates_hz[-1] < SLACK * fps, rank, area_px


def _shortened(names: Sequence[str]) -> str:
    text = ", ".join(names)
    if len(text.encode()) <= MAX_TEXT_BYTES:
        return text
    return text[: MAX_TEXT_BYTES - 4].rpartition(", ")[0] + ", …"
