"""USB cameras, and whatever else is a V4L2 capture device, through OpenCV.

Law: the only place that knows V4L2's ways with OpenCV. Pictures are taken as the driver delivers them wherever that is
YUYV or JPEG, and neither converted nor decoded here. A camera that delivers nothing makes `grab()` return within two
seconds, because OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT is set here, unless the environment has it; OpenCV's own ten seconds
are longer than a stall. OpenCV reads it when it first waits for a camera, so setting it on import is early enough,
whoever imported cv2 before (cap_v4l.cpp, `tryIoctl`).
"""

from __future__ import annotations

import errno
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")

import cv2
import numpy as np

from edged.core.errors import CameraError
from edged.core.shot import DAMAGED_IN_A_ROW, PictureFormat, Shot, taken_s
from edged.core.types import Pixels
from edged.edges import camera_v4l2_choice as choice
from edged.edges.camera_v4l2_choice import Choice
from edged.edges.camera_v4l2_device import Device, Kind, examine, fourcc_text
from edged.ports import Clock

log = logging.getLogger("edged.camera")

BUFFERS = 3
"""The driver's own queue: one that it fills, one that is full, and one that OpenCV copies, which it hands back to the
driver before the copy is made (cap_v4l.cpp, `retrieveFrame`). The capture thread empties it all the time."""

NOT_A_CAMERA: dict[Kind, str] = {
    "other": "it gives no pictures: choose the camera's other node, one that `edged cameras` lists",
    "processor": "it is a codec of the board and no camera: choose one that `edged cameras` lists",
}
RECEIVER = "it is the receiver of a CSI camera, which gives no pictures by itself: use the source picamera2:0"
SILENT = "it opened but delivers no picture: another program may use it, or its USB bus is too busy"

Identity = tuple[int, int, int]


class V4l2Source:
    """A `Source` for one V4L2 device.

    Args:
        path: of the device; one under /dev/v4l/by-id stays the same camera's.
        width_px, height_px, fps: wanted; what is taken where the camera has other ones says `camera_v4l2_choice`.
        capture: `cv2.VideoCapture`, or what looks like it.
        ask: `camera_v4l2_device.examine`, or what looks like it.
    """

    def __init__(
        self,
        path: Path,
        width_px: int,
        height_px: int,
        fps: float,
        clock: Clock,
        capture: Callable[[str, int], Any] = cv2.VideoCapture,
        ask: Callable[[Path, int, int], Device] = examine,
    ) -> None:
        self._path = path
        self._asked = (width_px, height_px)
        self._fps = fps
        self._clock = clock
        self._make_capture = capture
        self._ask = ask
        self._capture: Any = None
        self._format = PictureFormat(width_px, height_px, "bgr")
        self._shape: tuple[int, ...] = ()
        self._silent = SILENT
        self._delivered = False
        self._told: tuple[tuple[int, int], float] | None = None
        self._tried: Identity | None = None

    def open(self) -> PictureFormat:
        """Opens the device and settles format, size and rate; pictures flow from the first `grab()` on."""
        self._tried = _identity(self._path)
        device = self._examined()
        wanted = choice.choices(device, *self._asked, self._fps)
        if not wanted:
            has = choice.formats_text(device.formats)
            raise CameraError(f"none of its formats can be read: needs YUYV or MJPG, has {has}", place=self._path)
        self._delivered = False
        self._capture = self._make_capture(str(self._path), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraError(
                "a camera that does not open: it is in use by another program, or is starting up", place=self._path
            )
        self._negotiate(wanted)
        fourcc = self._fourcc()
        size = (int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        if min(size) <= 0:
            raise CameraError("it gives no size for its pictures", "camera_fault", place=self._path)
        self._format = PictureFormat(*size, choice.encoding(fourcc))
        self._shape = (size[1], size[0], {"yuyv": 2, "bgr": 3}.get(self._format.encoding, 0))
        if self._format.encoding != "bgr":
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._tell(device, size)
        return self._format

    def grab(self) -> float | None:
        """Waits for the next picture: the driver's own time of it, or now where that cannot be believed."""
        if not self._capture.grab():
            if self._delivered:
                raise CameraError(
                    "it stopped delivering pictures: check the camera's cable and power", place=self._path
                )
            raise CameraError(self._silent, place=self._path)
        self._delivered = True
        return taken_s(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0, self._clock.monotonic())

    def retrieve(self, out: Shot) -> None:
        """Copies the picture into `out.data`; a damaged one gives way to the next, with that one's `t_s`.

        Damaged is a raw picture of another length than its size makes, and a JPEG that does not begin as one or is
        larger than the buffer. What is inside a JPEG is found by whoever decodes it.
        """
        for _ in range(DAMAGED_IN_A_ROW):
            out.size_bytes = self._copied(out.data)
            if out.size_bytes:
                return
            t_s = self.grab()
            assert t_s is not None
            out.t_s = t_s
        raise CameraError(
            f"{DAMAGED_IN_A_ROW} damaged pictures in a row: check its cable, or set another width_px and height_px",
            "camera_fault",
            place=self._path,
        )

    def close(self) -> None:
        """Gives the device back."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def came_back(self) -> bool:
        """Whether the device node is another one than at the last opening, or has other permissions, or is gone."""
        return _identity(self._path) != self._tried

    def _copied(self, data: Pixels) -> int:
        """Copies the grabbed picture into `data`: its length, 0 where it is damaged.

        OpenCV writes into an array of the right shape; raw YUYV has the picture's in OpenCV 5, (1, bytes) in OpenCV 4.
        How long a JPEG is can be known only when it is there, so it alone is copied once more.
        """
        picture_format = self._format
        into = None
        if picture_format.encoding != "jpeg":
            into = data[: picture_format.size_bytes].reshape(self._shape)
        try:
            got, picture = self._capture.retrieve() if into is None else self._capture.retrieve(into)
        except cv2.error:
            return 0
        if not got or picture is None:
            return 0
        if into is None:
            return _copied_jpeg(picture, data)
        if picture.size != into.size:
            if picture_format.encoding == "bgr":
                raise CameraError("its pictures have another size than it said", "camera_fault", place=self._path)
            return 0
        if not np.may_share_memory(picture, into):
            np.copyto(into, picture.reshape(into.shape))
            self._shape = picture.shape
        return into.size

    def _negotiate(self, wanted: Sequence[Choice]) -> None:
        """Asks for one choice after the other until the driver takes one and reaches its rate; else for the first."""
        first = None
        for one in wanted:
            taken, enough = self._ask_for(one)
            if taken and enough:
                return
            if taken and first is None:
                first = one
        if first is None:
            # What OpenCV found by itself, and makes BGR of.
            first = replace(choice.guesses(*self._asked, self._fps)[0], fourcc=self._fourcc())
        self._ask_for(first)

    def _ask_for(self, one: Choice) -> tuple[bool, bool]:
        """Whether the driver takes the format, and whether it says to reach the rate.

        All but the last setter restart the stream with the rate that OpenCV remembers, a whole number that is wrong
        for 7.5 and 29.97: the rate comes last (cap_v4l.cpp, `setFps`).
        """
        capture = self._capture
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*one.fourcc[:4]))
        if self._fourcc() != one.fourcc:  # OpenCV says yes where it found another one
            return False, False
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, one.width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, one.height_px)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, BUFFERS)
        enough_hz = choice.SLACK * min(self._fps, one.rates_hz[-1])
        for rate_hz in one.rates_hz:
            # Drivers round to their nearest rate or to the next higher one, which a lower whole number serves both.
            capture.set(cv2.CAP_PROP_FPS, max(1, math.floor(rate_hz + 0.1)))
            got_hz = capture.get(cv2.CAP_PROP_FPS)
            if not got_hz > 0 or got_hz >= enough_hz:  # a camera that tells no rate has only one
                return True, True
        return True, False

    def _fourcc(self) -> str:
        return fourcc_text(int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF)

    def _tell(self, device: Device, size: tuple[int, int]) -> None:
        """Tells, once, what was wanted and cannot be had."""
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        if self._told == (size, rate_hz):
            return
        self._told = (size, rate_hz)
        if size != self._asked:
            has = choice.sizes_text(device.formats)
            log.warning(
                "%s: asked for %d x %d pixels, got %d x %d%s",
                *(self._path, *self._asked, *size, f"; it has {has}" if has else ""),
            )
        if 0 < rate_hz < choice.SLACK * self._fps:
            log.warning("%s: asked for %g pictures a second, got %g", self._path, self._fps, rate_hz)

    def _examined(self) -> Device:
        """The device; says what is wrong with it better than OpenCV, which only knows that it does not open."""
        path = self._path
        try:
            device = self._ask(path, *self._asked)
        except FileNotFoundError as error:
            raise CameraError(
                "there is no camera: plug it in, or choose one that `edged cameras` lists", place=path
            ) from error
        except PermissionError as error:
            raise CameraError(
                "no permission to open it: let the user of this program be in the group video", place=path
            ) from error
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise CameraError("it is in use by another program", place=path) from error
            if error.errno in (errno.ENODEV, errno.ENXIO, errno.EIO):
                raise CameraError("it does not answer: check the camera's cable and power", place=path) from error
            raise CameraError("no camera: choose one that `edged cameras` lists", place=path) from error
        if device.kind in NOT_A_CAMERA:
            raise CameraError(NOT_A_CAMERA[device.kind], place=path)
        self._silent = RECEIVER if device.kind == "receiver" else SILENT
        return device


def _copied_jpeg(picture: Pixels, data: Pixels) -> int:
    size_bytes = picture.size
    flat = picture.reshape(-1)
    if not 4 <= size_bytes <= data.size or flat[0] != 0xFF or flat[1] != 0xD8:
        return 0
    np.copyto(data[:size_bytes], flat)
    return size_bytes


def _identity(path: Path) -> Identity | None:
    """What tells a device node from the one that was there before; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_rdev, found.st_ctime_ns
