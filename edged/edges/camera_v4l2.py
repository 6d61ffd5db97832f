"""USB cameras, and whatever else is a V4L2 capture device, through OpenCV.

Law: the only place that knows V4L2's ways with OpenCV. A camera that delivers nothing makes `grab()` return within
two seconds, because OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT is set here, unless the environment has it; OpenCV's own ten
seconds are longer than a stall. OpenCV reads it when it first waits for a camera, so setting it on import is early
enough, whoever imported cv2 before (cap_v4l.cpp, `tryIoctl`).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")

import cv2
import numpy as np

from edged.core.errors import CameraError
from edged.core.types import Frame
from edged.ports import Clock

log = logging.getLogger("edged.camera")

RECENT_S = 5.0
"""How old a picture's own time may be to be believed."""
RATES = (5, 10, 15, 20, 24, 25, 30, 50, 60)
"""What cameras commonly offer, in pictures a second."""
RAW_BYTES_PER_S = 20_000_000
"""What a USB 2 bus carries with ease; above it JPEG is asked for first."""
DAMAGED_IN_A_ROW = 5
"""So many pictures that cannot be decoded are a broken camera; single ones are everyday life on USB."""
BUFFERS = 2
"""The driver's own queue: short, since the capture thread empties it all the time."""

# linux/videodev2.h
VIDIOC_QUERYCAP = 0x80685600
QUERYCAP_BYTES, DEVICE_CAPS_OFFSET = 104, 88
CAP_VIDEO_CAPTURE, CAP_VIDEO_CAPTURE_MPLANE = 0x00000001, 0x00001000


def query_capabilities(path: Path) -> int:
    """The V4L2 capabilities of one device node.

    Raises:
        OSError: there is no such node, it may not be opened, or it is no V4L2 device (ENOTTY).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = bytearray(QUERYCAP_BYTES)
        fcntl.ioctl(descriptor, VIDIOC_QUERYCAP, answer)
    finally:
        os.close(descriptor)
    return int.from_bytes(answer[DEVICE_CAPS_OFFSET : DEVICE_CAPS_OFFSET + 4], "little")


class V4l2Source:
    """A `Source` for one V4L2 device.

    Args:
        path: of the device; one under /dev/v4l/by-id stays the same camera's.
        width_px, height_px: asked for; the camera's nearest is taken.
        fps: the camera is asked for its nearest rate that is not lower.
        capture: `cv2.VideoCapture`, or what looks like it.
        capabilities: `query_capabilities`, or what looks like it.
    """

    def __init__(
        self,
        path: Path,
        width_px: int,
        height_px: int,
        fps: float,
        clock: Clock,
        capture: Callable[[str, int], Any] = cv2.VideoCapture,
        capabilities: Callable[[Path], int] = query_capabilities,
    ) -> None:
        self._path = path
        self._asked = (width_px, height_px)
        self._fps = fps
        self._clock = clock
        self._make_capture = capture
        self._capabilities = capabilities
        self._capture: Any = None
        self._delivered = False
        self._told: tuple[int, int] | None = None

    def open(self) -> tuple[int, int]:
        """Opens the device and settles format, size and rate; pictures flow from the first `grab()` on."""
        self._examine()
        self._delivered = False
        self._capture = self._make_capture(str(self._path), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraError(
                "a camera that does not open: it is in use by another program, or is starting up", place=self._path
            )
        formats = ["YUYV", "MJPG"]
        if self._asked[0] * self._asked[1] * 2 * self._fps > RAW_BYTES_PER_S:
            formats.reverse()
        for fourcc in formats:
            if self._negotiate(fourcc):
                break
        size = (int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        if min(size) <= 0:
            raise CameraError("it tells no picture size: no camera, or a broken one", "camera_fault", place=self._path)
        if size not in (self._asked, self._told):
            log.warning("%s: asked for %d x %d pixels, got %d x %d", self._path, *self._asked, *size)
            self._told = size
        return size

    def grab(self) -> float | None:
        """Waits for the next picture: its time, the driver's own where that can be believed."""
        try:
            grabbed = self._capture.grab()
            stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        except cv2.error as error:
            raise CameraError(f"it cannot be read ({error.err})", place=self._path) from error
        if not grabbed:
            if self._delivered:
                raise CameraError("it stopped delivering pictures: check its cable and power", place=self._path)
            raise CameraError(
                "it opened but delivers no picture: another program may use it, or its USB bus is too busy",
                place=self._path,
            )
        self._delivered = True
        now_s = self._clock.monotonic()
        return stamp_s if now_s - RECENT_S <= stamp_s <= now_s else now_s

    def retrieve(self, out: Frame) -> None:
        """Decodes the picture into `out.pixels`; a damaged one gives way to the next, with that one's `t_s`."""
        for _ in range(DAMAGED_IN_A_ROW):
            try:
                got, picture = self._capture.retrieve(out.pixels)
            except cv2.error:
                got = False
            if got:
                break
            t_s = self.grab()
            assert t_s is not None
            out.t_s = t_s
        else:
            raise CameraError("its pictures cannot be decoded", "camera_fault", place=self._path)
        if picture is out.pixels or np.shares_memory(picture, out.pixels):
            return
        if picture.shape != out.pixels.shape:
            raise CameraError("its pictures have another size than it said", "camera_fault", place=self._path)
        np.copyto(out.pixels, picture)

    def close(self) -> None:
        """Gives the device back."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _negotiate(self, fourcc: str) -> bool:
        """Asks for one format: whether it comes as often as wanted.

        Each setter restarts the stream and may undo what was set after it: the order matters (cap_v4l.cpp).
        """
        capture = self._capture
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._asked[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._asked[1])
        # A driver takes its nearest rate, which may be lower; OpenCV passes whole numbers only.
        lowest = math.ceil(self._fps)
        for rate in (lowest, *(rate for rate in RATES if rate > lowest)):
            capture.set(cv2.CAP_PROP_FPS, rate)
            got = capture.get(cv2.CAP_PROP_FPS)
            enough = not got > 0 or got >= 0.98 * self._fps  # a camera that tells no rate has only one
            if enough:
                break
        capture.set(cv2.CAP_PROP_BUFFERSIZE, BUFFERS)
        return enough

    def _examine(self) -> None:
        """Says what is wrong with the device better than OpenCV, which only knows that it does not open."""
        path = self._path
        try:
            capabilities = self._capabilities(path)
        except FileNotFoundError as error:
            raise CameraError(
                "there is no camera: plug it in, or choose one that `ls /dev/v4l/by-id` lists", place=path
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
            raise CameraError("no camera: choose one that `ls /dev/v4l/by-id` lists", place=path) from error
        if not capabilities & (CAP_VIDEO_CAPTURE | CAP_VIDEO_CAPTURE_MPLANE):
            raise CameraError(
                "it gives no pictures: choose the camera's other node, its by-id name ends in index0", place=path
            )
