"""CSI cameras of a Raspberry Pi, through picamera2 and libcamera.

Law: the only door to picamera2, which is imported when a CSI camera is opened or listed and never before. A request is
a buffer that libcamera lent us: each is released exactly once, whatever happens, because libcamera stalls without it.
Written for picamera2 0.3.21 or newer (`cancel_all_and_flush`).

Pictures are asked for as YUV420, since every board's image processor makes it: four times smaller than what a screen
wants, and the brightness lies in it ready to be looked at.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from edged.core.errors import CameraError
from edged.core.planes import copy_planes
from edged.core.sensor_mode import choose_mode
from edged.core.shot import PictureFormat, Shot, taken_s
from edged.ports import Clock

log = logging.getLogger("edged.camera")

FIRST_WAIT_S = 4.0
"""How long the first picture may take: the sensor's first ones are thrown away while the exposure settles."""
WAIT_S = 2.0
"""The same for every later one. libcamera itself gives a sensor one second, then logs and waits for ever."""
GIVEN_UP_S = 1.0
"""How long a request that was on its way when the wait was given up may take to arrive."""
LOWEST_RATE_HZ = 5.0
"""Not asked for less: the shutter may stay open for a whole picture, and what moves would be a smear."""
BUFFERS = 4
"""One with us, one kept by picamera2, two for the sensor to write into in turn."""

INSTALL = (
    "`sudo apt install python3-picamera2` on Raspberry Pi OS, and make the virtual environment of edged with "
    "--system-site-packages, so that it is seen there"
)


def load_picamera2() -> Any:
    """The module picamera2, imported now; takes seconds on a small board.

    Raises:
        Exception: whatever an import can raise; picamera2's own libraries fail in many ways.
    """
    # libcamera writes to stderr by itself: at its own level some six lines an opening.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "WARN")
    import picamera2

    # It reports every failed try as an error; this file tells the capture thread, which logs on change.
    logging.getLogger("picamera2.picamera2").setLevel(logging.CRITICAL)
    return picamera2


def csi_cameras(load: Callable[[], Any] = load_picamera2) -> list[tuple[int, str]]:
    """The index and the sensor's name of every CSI camera; none where picamera2 is missing or broken."""
    try:
        listed = load().Picamera2.global_camera_info()
    except Exception as error:  # noqa: BLE001 - what is listed is a service to a person, see load_picamera2
        log.debug("no CSI cameras are listed: %s", error)
        return []
    return [(index, str(one.get("Model", "unknown"))) for index, one in enumerate(listed) if not _is_usb(one)]


class Picamera2Source:
    """A `Source` for one CSI camera.

    Args:
        index: as `edged cameras` and `rpicam-hello --list-cameras` count.
        width_px, height_px: asked for; the image processor makes any even size.
        fps: the camera is asked for this rate, or for `LOWEST_RATE_HZ`.
        load: gives the module picamera2, or what looks like it; called by `open()`.
    """

    def __init__(
        self,
        index: int,
        width_px: int,
        height_px: int,
        fps: float,
        clock: Clock,
        load: Callable[[], Any] = load_picamera2,
    ) -> None:
        self._index = index
        self._asked = (width_px, height_px)
        self._rate_hz = max(fps, LOWEST_RATE_HZ)
        self._clock = clock
        self._load = load
        self._library: Any = None
        self._camera: Any = None
        self._sensor: dict[str, Any] | None = None
        self._job: Any = None
        self._request: Any = None
        self._stride_px = 0
        self._size = (0, 0)
        self._delivered = False
        self._told: tuple[int, int] | None = None

    def open(self) -> PictureFormat:
        """Opens the camera and starts it: one stream, YUV420, the asked size made even."""
        try:
            self._library = self._load()
        except ModuleNotFoundError as error:
            raise self._trouble(f"picamera2 is not installed (no module {error.name}): {INSTALL}") from error
        except Exception as error:
            raise self._trouble(f"picamera2 is installed and cannot be imported: {INSTALL}", error) from error
        self._examine()
        self._camera = self._acquired()
        try:
            stream = self._configured()
            self._camera.start()
        except Exception as error:
            raise self._trouble(
                "the camera does not start: look at `rpicam-hello`, and check its cable and power", error
            ) from error
        self._delivered = False
        return self._settled(stream)

    def grab(self) -> float | None:
        """Waits for the next picture: its time, the sensor's own where that can be believed.

        libcamera's manual says CLOCK_BOOTTIME and its Raspberry Pi pipelines pass the driver's CLOCK_MONOTONIC on; on
        a board that never sleeps both tell the same.
        """
        self._release()
        try:
            if self._job is None:
                self._job = self._camera.capture_request(wait=False)
            self._request = self._camera.wait(self._job, timeout=WAIT_S if self._delivered else FIRST_WAIT_S)
            self._job = None
            stamp_s = self._request.get_metadata().get("SensorTimestamp", 0) / 1e9
        except TimeoutError as error:
            # The job stays with picamera2: it may still be given a picture, which close() gives back.
            raise self._trouble(
                "the camera delivers no picture, its frontend has timed out: check its ribbon cable at both ends, "
                "and the board's power"
            ) from error
        except Exception as error:
            self._job = None
            raise self._trouble("the camera cannot be read", error) from error
        self._delivered = True
        return taken_s(stamp_s, self._clock.monotonic())

    def retrieve(self, out: Shot) -> None:
        """Copies the planes Y, U and V without their padding, straight from the camera's memory; gives that back."""
        try:
            with self._library.MappedArray(self._request, "main", reshape=False, write=False) as mapped:
                out.size_bytes = copy_planes(mapped.array, out.data, self._size, self._stride_px)
        except Exception as error:
            raise self._trouble("a picture of the camera cannot be read", error) from error
        finally:
            self._release()

    def close(self) -> None:
        """Gives back what is still held, then the camera."""
        camera, self._camera = self._camera, None
        job, self._job = self._job, None
        try:
            self._release()
            if job is not None:
                # A job that nobody waits for would be given a request that nobody releases.
                camera.cancel_all_and_flush()
                with suppress(CancelledError, TimeoutError):
                    camera.wait(job, timeout=GIVEN_UP_S).release()
        except Exception as error:  # noqa: BLE001 - close() never raises
            log.debug("picamera2:%d: a request could not be given back: %s", self._index, error)
        try:
            if camera is not None:
                camera.close()
        except Exception as error:  # noqa: BLE001 - close() never raises
            log.debug("picamera2:%d: the camera could not be closed: %s", self._index, error)

    def came_back(self) -> bool:
        """Nothing tells: the camera's connector is not made for plugging."""
        return False

    def _examine(self) -> None:
        """Says what is there where the camera is not.

        Asked before picamera2 is: it leaves a descriptor open whenever it cannot open a camera.
        """
        try:
            listed = self._library.Picamera2.global_camera_info()
        except Exception as error:
            raise self._trouble("libcamera does not start: look at `rpicam-hello --list-cameras`", error) from error
        there = [f"{index} ({one.get('Model', 'unknown')})" for index, one in enumerate(listed) if not _is_usb(one)]
        if not 0 <= self._index < len(listed):
            if not there:
                raise self._trouble(
                    "there is no CSI camera: check its ribbon cable at both ends, then look at "
                    "`rpicam-hello --list-cameras`"
                )
            raise self._trouble(f"there is no CSI camera {self._index}: there is {', '.join(there)}")
        if _is_usb(listed[self._index]):
            raise self._trouble(
                f"camera {self._index} is a USB camera: name it as v4l2:PATH, `edged cameras` lists its path"
            )

    def _acquired(self) -> Any:
        """The camera, ours alone."""
        kind = self._library.Picamera2
        camera = kind.__new__(kind)
        try:
            camera.__init__(self._index)
        except Exception as error:
            # It forgets its pipe: at one a try a busy camera would use up every descriptor in a day.
            with suppress(Exception):
                if camera.is_open:
                    camera.close()
                else:
                    camera.notifymeread.close()
                    os.close(camera.notifyme_w)
            if _is_busy(error):
                raise self._trouble("the camera is in use by another program: end that program", error) from error
            raise self._trouble(
                "the camera does not open: look at `rpicam-hello`, and check its cable and power", error
            ) from error
        # It wants to be closed when Python ends, and a hung driver would keep the process from ending.
        atexit.unregister(camera.close)
        return camera

    def _configured(self) -> Mapping[str, Any]:
        """Settles the one stream; what it came to be."""
        camera = self._camera
        size = (self._asked[0] & ~1, self._asked[1] & ~1)
        if self._sensor is None:
            self._sensor = choose_mode(camera.sensor_modes, size, self._rate_hz)
        duration_us = int(1e6 / self._rate_hz)
        limits = {"FrameDurationLimits": (duration_us, duration_us)}
        camera.configure(
            camera.create_video_configuration(
                main={"size": size, "format": "YUV420"},
                raw=None,
                buffer_count=BUFFERS,
                controls=limits if "FrameDurationLimits" in camera.camera_controls else {},
                sensor=self._sensor,
            )
        )
        stream: Mapping[str, Any] = camera.stream_configuration("main")
        return stream

    def _settled(self, stream: Mapping[str, Any]) -> PictureFormat:
        width_px, height_px = self._size = stream["size"]
        self._stride_px = stream["stride"]
        picture = PictureFormat(width_px, height_px, "yuv420")
        whole = not (width_px % 2 or height_px % 2 or self._stride_px % 2)
        if stream["format"] != "YUV420" or not whole or stream["framesize"] < self._stride_px * height_px * 3 // 2:
            raise self._trouble(
                f"the camera gives {stream['format']} pictures of {width_px} x {height_px} pixels where YUV420 of "
                "an even size was asked for: choose another size",
                reason="camera_fault",
            )
        if self._size not in (self._asked, self._told):
            log.warning("picamera2:%d: asked for %d x %d pixels, got %d x %d", self._index, *self._asked, *self._size)
            self._told = self._size
        return picture

    def _release(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.release()

    def _trouble(self, text: str, error: Exception | None = None, reason: str = "camera_lost") -> CameraError:
        """For people `text` alone; the journal gets what the library said."""
        place = f"picamera2:{self._index}"
        return CameraError(text, reason, place=place if error is None else f"{place} ({_root(error)})")


def _is_usb(listed: Mapping[str, Any]) -> bool:
    """libcamera lists USB cameras too, by their place in the device tree."""
    return "/usb" in str(listed.get("Id", ""))


def _root(error: BaseException) -> BaseException:
    """picamera2 wraps what libcamera said twice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_busy(error: BaseException) -> bool:
    said = str(_root(error)).lower()
    return "busy" in said or "acquire" in said
