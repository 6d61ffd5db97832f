"""V4L2 drivers that speak the structs of linux/videodev2.h, for nodes that are files of a test."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

CAPTURE, STREAMING, OF_NODE = 0x00000001, 0x04000000, 0x80000000


@dataclass
class Modes:
    """One size, or a range of sizes, of one format.

    Attributes:
        size: width and height, or six numbers: least, most and step of each.
        intervals: seconds as (numerator, denominator) pairs; `ranged`: shortest, longest and step.
    """

    size: Sequence[int]
    intervals: Sequence[tuple[int, int]] = ((1, 30),)
    ranged: bool = False


@dataclass
class Camera:
    """What one node answers.

    Attributes:
        endless: lists that it never ends: it gives the last entry again and again.
    """

    card: str = "Fake Camera"
    driver: str = "uvcvideo"
    bus: str = "usb-0000:01:00.0-1.3"
    capabilities: int = CAPTURE | STREAMING
    formats: dict[str, list[Modes]] = field(default_factory=dict)
    endless: frozenset[str] = frozenset()
    says_of_node: bool = True
    buffers: int = 1
    asked: int = 0


class Drivers:
    """An `ioctl` over cameras by node: the number of a question is decoded as the kernel would."""

    def __init__(self) -> None:
        self.cameras: dict[str, Camera] = {}

    def plug(self, node: Path, camera: Camera) -> Path:
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()
        self.cameras[str(node.resolve())] = camera
        return node

    def ioctl(self, descriptor: int, code: int, answer: bytearray) -> int:
        camera = self.cameras.get(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        if camera is None:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        camera.asked += 1
        kind, number, size = code >> 30, code & 0xFF, code >> 16 & 0x3FFF
        assert code >> 8 & 0xFF == ord("V")
        assert len(answer) == size, "the kernel would copy more or less than the buffer has"
        assert kind == (2 if number == 0 else 3)
        {0: capability, 2: pixel_format, 74: frame_size, 75: frame_interval}[number](camera, answer)
        return 0


def capability(camera: Camera, answer: bytearray) -> None:
    texts = (camera.driver, camera.card, camera.bus)
    of_all = 0xFFFFFFFF if camera.says_of_node else camera.capabilities & ~OF_NODE
    of_node = camera.capabilities if camera.says_of_node else 0
    struct.pack_into("=16s32s32sIII", answer, 0, *(text.encode() for text in texts), 0x060C00, of_all, of_node)


def entry(camera: Camera, name: str, entries: Sequence, index: int):
    if index >= len(entries) and name in camera.endless:
        index = len(entries) - 1
    if not 0 <= index < len(entries):
        raise OSError(errno.EINVAL, "Invalid argument")
    return entries[index]


def pixel_format(camera: Camera, answer: bytearray) -> None:
    index, buffers = struct.unpack_from("=II", answer)
    if buffers != camera.buffers:
        raise OSError(errno.EINVAL, "Invalid argument")
    fourcc = entry(camera, "formats", list(camera.formats), index)
    struct.pack_into("=II32s4s", answer, 8, 0, 0, b"", b"")
    struct.pack_into("=32s4s", answer, 12, f"{fourcc} pictures".encode(), fourcc.encode())


def modes(camera: Camera, code: bytes) -> list[Modes]:
    return camera.formats[code.decode()]


def frame_size(camera: Camera, answer: bytearray) -> None:
    index, code = struct.unpack_from("=I4s", answer)
    one = entry(camera, "sizes", modes(camera, code), index)
    struct.pack_into(f"=I{len(one.size)}I", answer, 8, 1 if len(one.size) == 2 else 3, *one.size)


def frame_interval(camera: Camera, answer: bytearray) -> None:
    index, code, width, height = struct.unpack_from("=I4sII", answer)
    one = next((one for one in modes(camera, code) if covers(one.size, width, height)), None)
    if one is None:
        raise OSError(errno.EINVAL, "Invalid argument")
    if one.ranged:
        entry(camera, "intervals", [one], index)
        struct.pack_into("=7I", answer, 16, 3, *(number for pair in one.intervals for number in pair))
    else:
        struct.pack_into("=3I", answer, 16, 1, *entry(camera, "intervals", one.intervals, index))


def covers(size: Sequence[int], width: int, height: int) -> bool:
    if len(size) == 2:
        return (width, height) == tuple(size)
    return size[0] <= width <= size[1] and size[3] <= height <= size[4]
