"""What a V4L2 device is and offers: its name, formats, sizes and rates, asked by ioctl alone.

Law: asks and changes nothing: no format is set, no stream begins, so a camera that somebody else uses can be asked,
too. Every loop is bounded, whatever a driver answers. The layouts are those of linux/videodev2.h, which never change.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, Literal

Ioctl = Callable[[int, int, bytearray], object]

CAPABILITY = Struct("=16s32s32s3I12x")  # driver, card, bus; version, capabilities of the driver and of the node
FORMAT = Struct("=3I32s2I12x")  # index, buffer type, flags; description; pixel format, bus code
FRAME_SIZE = Struct("=3I6I8x")  # index, pixel format, type; (width, height), or (least, most, step) of each
FRAME_INTERVAL = Struct("=5I6I8x")  # index, pixel format, width, height, type; seconds as fractions, the same way

QUERYCAP = 0x80685600
ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0xC0405602, 0xC02C564A, 0xC034564B

VIDEO_CAPTURE, VIDEO_CAPTURE_MPLANE = 0x00000001, 0x00001000
VIDEO_OUTPUT, VIDEO_OUTPUT_MPLANE, VIDEO_M2M_MPLANE, VIDEO_M2M = 0x00000002, 0x00002000, 0x00004000, 0x00008000
IO_MC, DEVICE_CAPS = 0x20000000, 0x80000000
TYPE_CAPTURE, TYPE_CAPTURE_MPLANE, DISCRETE = 1, 9, 1

MAX_ENTRIES = 128
"""Of one list; the longest seen have about forty."""
MAX_ASKED = 4096
"""So many questions to one device in all: a driver whose lists never end is left alone after some milliseconds."""
MAX_HZ = 1000.0

RECEIVERS = frozenset({"unicam", "rp1-cfe"})
PROCESSORS = frozenset({"bcm2835-codec", "bcm2835-isp", "pispbe", "rpivid", "hevc_dec"})
"""Drivers of Raspberry Pi boards whose nodes give pictures, but no camera's of their own."""

Kind = Literal["camera", "receiver", "processor", "other"]


@dataclass(frozen=True, slots=True)
class Size:
    """One size of one format.

    Attributes:
        rates_hz: pictures a second, low to high; empty where the driver does not tell.
        any_rate: `rates_hz` are the ends of a range, and everything between them can be had.
    """

    width_px: int
    height_px: int
    rates_hz: tuple[float, ...] = ()
    any_rate: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Sizes by range: (least, most, step) of the width and of the height, in pixels."""

    width_px: tuple[int, int, int]
    height_px: tuple[int, int, int]

    def nearest(self, width_px: int, height_px: int) -> tuple[int, int]:
        """The size in it that is nearest and not smaller; else the largest."""
        return _on_grid(width_px, *self.width_px), _on_grid(height_px, *self.height_px)


@dataclass(frozen=True, slots=True)
class Format:
    """One pixel format.

    Attributes:
        fourcc: its four characters, as "YUYV" or "Y16 ".
        name: the driver's words for it.
        sizes: for a format with a `span` the one size of it that was asked for; empty where the driver tells none.
    """

    fourcc: str
    name: str
    sizes: tuple[Size, ...] = ()
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One device node.

    Attributes:
        driver, card, bus: as the driver calls itself, the camera and its place.
        capabilities: bits, of this node.
        formats: what it can deliver; empty for a node that captures nothing, or whose driver does not tell.
    """

    driver: str
    card: str
    bus: str
    capabilities: int
    formats: tuple[Format, ...] = ()

    @property
    def kind(self) -> Kind:
        """What it is for.

        Returns:
            camera: it delivers pictures; receiver: of a CSI camera, raw and of no use without libcamera; processor: a
            codec or another step from memory to memory; other: metadata, output, radio.
        """
        if not self.capabilities & (VIDEO_CAPTURE | VIDEO_CAPTURE_MPLANE | VIDEO_M2M | VIDEO_M2M_MPLANE):
            return "other"
        if self.capabilities & (VIDEO_M2M | VIDEO_M2M_MPLANE) or self.driver in PROCESSORS:
            return "processor"
        if self.capabilities & IO_MC or self.driver in RECEIVERS:
            return "receiver"
        return "camera"


def examine(path: Path, width_px: int, height_px: int, ioctl: Ioctl = fcntl.ioctl) -> Device:
    """Asks one device node for everything.

    Args:
        width_px, height_px: the size to ask for where a driver has sizes by range.

    Raises:
        OSError: there is no such node, it may not be opened, or it is no V4L2 device (ENOTTY).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = bytearray(CAPABILITY.size)
        ioctl(descriptor, QUERYCAP, answer)
        driver, card, bus, _version, of_all, of_node = CAPABILITY.unpack(answer)
        capabilities = of_node if of_all & DEVICE_CAPS else of_all
        device = Device(_text(driver), _text(card), _text(bus), capabilities)
        if device.kind not in ("camera", "receiver"):
            return device
        formats = tuple(_Questions(descriptor, ioctl).formats(capabilities, width_px, height_px))
        return Device(device.driver, device.card, device.bus, capabilities, formats)
    finally:
        os.close(descriptor)


class _Questions:
    """The lists of one open device, with a bound on how much it is asked."""

    def __init__(self, descriptor: int, ioctl: Ioctl) -> None:
        self._descriptor = descriptor
        self._ioctl = ioctl
        self._left = MAX_ASKED

    def formats(self, capabilities: int, width_px: int, height_px: int) -> Iterator[Format]:
        buffers = TYPE_CAPTURE if capabilities & VIDEO_CAPTURE else TYPE_CAPTURE_MPLANE
        seen = set()
        for _, _, _, name, code, _ in self._list(ENUM_FMT, FORMAT, buffers, 0, b"", 0, 0):
            if code in seen:
                continue  # a list that goes round in circles
            seen.add(code)
            sizes, span = self._sizes(code, width_px, height_px)
            yield Format(fourcc_text(code), _text(name), sizes, span)

    def _sizes(self, code: int, width_px: int, height_px: int) -> tuple[tuple[Size, ...], Span | None]:
        sizes = dict[tuple[int, int], Size]()
        for _, _, kind, *numbers in self._list(ENUM_FRAMESIZES, FRAME_SIZE, code, 0, *[0] * 6):
            if kind == DISCRETE:
                width, height = numbers[:2]
                if (width, height) not in sizes and width > 0 < height:
                    sizes[width, height] = self._size(code, width, height)
                continue
            (least_w, most_w, step_w, least_h, most_h, step_h) = numbers
            span = Span((least_w, most_w, step_w), (least_h, most_h, step_h))
            if not 0 < least_w <= most_w or not 0 < least_h <= most_h:
                return (), None
            return (self._size(code, *span.nearest(width_px, height_px)),), span
        return tuple(sizes.values()), None

    def _size(self, code: int, width_px: int, height_px: int) -> Size:
        rates = set[float]()
        for *_, kind, n0, d0, n1, d1, _, _ in self._list(
            ENUM_FRAMEINTERVALS, FRAME_INTERVAL, code, width_px, height_px, 0, *[0] * 6
        ):
            if kind != DISCRETE:  # intervals from the shortest to the longest, whatever the steps
                return Size(width_px, height_px, tuple(sorted({*_hz(n1, d1), *_hz(n0, d0)})), any_rate=True)
            rates.update(_hz(n0, d0))
        return Size(width_px, height_px, tuple(sorted(rates)))

    def _list(self, code: int, layout: Struct, *fields: int | bytes) -> Iterator[tuple[Any, ...]]:
        """The entries of one list; a driver that refuses or does not know the question has none (more)."""
        for index in range(MAX_ENTRIES):
            if self._left <= 0:
                return
            self._left -= 1
            answer = bytearray(layout.pack(index, *fields))
            try:
                self._ioctl(self._descriptor, code, answer)
            except OSError:
                return
            yield layout.unpack(answer)


def _hz(numerator: int, denominator: int) -> tuple[float, ...]:
    """An interval of numerator / denominator seconds as a rate; none where it is none."""
    if not numerator or not denominator:
        return ()
    return (min(round(denominator / numerator, 3), MAX_HZ),)


def _on_grid(wanted: int, least: int, most: int, step: int) -> int:
    steps = -(-max(wanted - least, 0) // max(step, 1))
    return min(least + steps * max(step, 1), most)


def fourcc_text(code: int) -> str:
    """The four characters; the highest bit says big-endian, which makes another format of it."""
    name = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in (code & 0x7FFFFFFF).to_bytes(4, "little"))
    return f"{name}-BE" if code >> 31 else name


def _text(raw: bytes) -> str:
    """A driver's words: up to the first NUL, nothing that a terminal might obey."""
    text = raw.partition(b"\0")[0].decode(errors="replace").strip()
    return "".join(one if one.isprintable() else "?" for one in text)


def find_nodes(root: Path) -> list[Path]:
    """The video nodes below `root`/dev, each by the path that is most its own: by its id, its place, or its number.

    `root`/dev/v4l is made by udev; a node that two names lead to has the first of them.
    """
    names = dict[Path, Path]()
    for folder in ("by-id", "by-path"):
        for link in sorted((root / "dev/v4l" / folder).glob("*")):
            names.setdefault(link.resolve(), link)
    nodes = [node for node in (root / "dev").glob("video*") if re.fullmatch(r"video\d+", node.name)]
    nodes.sort(key=lambda node: int(node.name.removeprefix("video")))
    return [names.get(node.resolve(), node) for node in nodes]
