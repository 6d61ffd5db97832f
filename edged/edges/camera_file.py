"""Clips, pictures and folders of pictures, played as a camera.

Law: a frame's time is the clip's own, so that the same clip gives the same events; it goes on over loops and
re-openings and never back. Waits only for the pace, and only on `stop`.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.core.errors import CameraError
from edged.core.shot import PictureFormat, Shot
from edged.core.types import Pixels
from edged.ports import Clock, Stop

log = logging.getLogger("edged.camera")

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
RATES = (0.1, 240.0)
"""What a clip's own frames a second may be; containers without a rate tell 0, 1000 or 90000."""
CATCH_UP_S = 1.0
"""How much of a clip is skipped at once where the board cannot follow; beyond that its time goes on alone."""


class FileSource:
    """A `Source` that plays what is in a file or a folder.

    Args:
        path: a clip, a picture, or a folder of pictures, played in the order of their names.
        fps: pictures a second where the file itself tells none.
        pace: realtime: each frame at its time, late ones skipped; max: every frame, without waiting.
        at_end: loop: begin again; stop: `grab()` returns None.
        stop: set, it ends the waiting for the pace.
    """

    def __init__(
        self,
        path: Path,
        fps: float,
        pace: Literal["realtime", "max"],
        at_end: Literal["loop", "stop"],
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._path = path
        self._fps = fps
        self._realtime = pace == "realtime"
        self._loop = at_end == "loop"
        self._clock = clock
        self._stop = stop
        self._reel: _Reel | None = None
        self._size = (0, 0)
        self._rate = fps
        self._t0_s = -math.inf
        self._index = 0

    def open(self) -> PictureFormat:
        """Opens the file: the format of its first picture, whose size all others are brought to."""
        next_s = self._t0_s + self._index / self._rate
        self._reel = _reel(self._path)
        self._size = self._reel.open()
        self._rate = self._reel.rate or self._fps
        self._t0_s = max(self._clock.monotonic(), next_s)
        self._index = 0
        return PictureFormat(*self._size, "bgr")

    def grab(self) -> float | None:
        """The next picture's time, waited for where the pace is realtime; None at the end."""
        late = int((self._clock.monotonic() - self._t0_s) * self._rate) - self._index if self._realtime else 0
        if late > 0:
            for _ in range(min(late, math.ceil(self._rate * CATCH_UP_S))):
                if not self._turn(decode=False):
                    return None
            self._index += late
        if not self._turn(decode=True):
            return None
        t_s = self._t0_s + self._index / self._rate
        self._index += 1
        if self._realtime:
            early_s = t_s - self._clock.monotonic()
            if early_s > 0:
                self._stop.wait(early_s)
        return t_s

    def retrieve(self, out: Shot) -> None:
        """Writes the picture into `out.data`."""
        assert self._reel is not None
        self._reel.show(out.data.reshape(self._size[1], self._size[0], 3))
        out.size_bytes = out.data.size

    def close(self) -> None:
        """Closes the file."""
        if self._reel is not None:
            self._reel.close()
            self._reel = None

    def came_back(self) -> bool:
        """A file that is put back is found by the next opening."""
        return False

    def _turn(self, decode: bool) -> bool:
        """Goes to the next picture: False at the end where it is not to be looped."""
        assert self._reel is not None
        if self._reel.turn(decode):
            return True
        if not self._loop:
            return False
        self._reel.open()
        if not self._reel.turn(decode):
            raise CameraError("no picture is left to play", place=self._path)
        return True


def probe(path: Path) -> str | None:
    """Whether a file can be played: None, or one sentence that says why not."""
    try:
        reel = _reel(path)
        reel.open()
    except CameraError as error:
        return str(error)
    reel.close()
    return None


def read_picture(path: Path) -> Pixels:
    """A picture, or the first of a clip or folder: (height, width, 3) uint8 BGR.

    Raises:
        CameraError: there is none.
    """
    reel = _reel(path)
    width_px, height_px = reel.open()
    picture = np.empty((height_px, width_px, 3), dtype=np.uint8)
    if not reel.turn(decode=True):
        raise CameraError("there is no picture that can be decoded", place=path)
    reel.show(picture)
    reel.close()
    return picture


class _Reel(Protocol):
    """Pictures in sequence. `rate` is their own frames a second, None where they have none."""

    rate: float | None

    def open(self) -> tuple[int, int]:
        """Goes before the first picture: its (width_px, height_px). Opening again rewinds."""

    def turn(self, decode: bool) -> bool:
        """Goes to the next picture: False after the last. Without `decode` it will not be shown."""

    def show(self, out: Pixels) -> None:
        """Writes the picture into `out`."""

    def close(self) -> None:
        """Lets go of the file; may be called twice."""


def _reel(path: Path) -> _Reel:
    try:
        folder = path.is_dir()
        if not path.exists():
            raise CameraError("there is no such file or folder", place=path)
    except OSError as error:
        raise CameraError(f"it cannot be read ({error.strerror})", place=path) from error
    return _Pictures(path) if folder or path.suffix.lower() in PICTURE_SUFFIXES else _Clip(path)


class _Clip:
    """A video file. Its first picture is decoded at the opening: containers lie about sizes."""

    def __init__(self, path: Path) -> None:
        self.rate: float | None = None
        self._path = path
        self._capture = cv2.VideoCapture()
        self._at_first = False

    def open(self) -> tuple[int, int]:
        try:
            # One decoding thread: a clip is no load, and each thread would keep pictures of its own.
            opened = self._capture.open(str(self._path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
            got, first = self._capture.read() if opened else (False, None)
        except cv2.error as error:
            raise CameraError(f"it cannot be read as a clip ({error.err})", place=self._path) from error
        if not opened:
            raise CameraError("no clip that OpenCV can read: MP4, MKV and AVI are", place=self._path)
        if not got or first is None:
            raise CameraError("there is no frame that can be decoded", place=self._path)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if RATES[0] <= rate <= RATES[1] else None
        self._at_first = True
        return first.shape[1], first.shape[0]

    def turn(self, decode: bool) -> bool:  # noqa: ARG002 - a clip decodes to go on
        if self._at_first:
            self._at_first = False
            return True
        return self._capture.grab()

    def show(self, out: Pixels) -> None:
        try:
            got, picture = self._capture.retrieve(out)
        except cv2.error as error:
            raise CameraError(f"a frame cannot be decoded ({error.err})", place=self._path) from error
        if not got:
            raise CameraError("a frame cannot be decoded", place=self._path)
        _settle(picture, out)

    def close(self) -> None:
        self._capture.release()


class _Pictures:
    """A picture, or a folder of them; it is listed again on every round. One that cannot be read is left out."""

    rate: float | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths: list[Path] = []
        self._position = 0
        self._unreadable: set[Path] = set()
        self._picture: Pixels | None = None
        self._decoded: tuple[Path, int, int] | None = None

    def open(self) -> tuple[int, int]:
        self._paths = self._listed()
        if not self._paths:
            raise CameraError(
                f"the folder holds no picture: expected one of {', '.join(sorted(PICTURE_SUFFIXES))}", place=self._path
            )
        self._position = 0
        if not self.turn(decode=True):
            raise CameraError("there is no picture that can be decoded", place=self._path)
        self._position -= 1
        assert self._picture is not None
        return self._picture.shape[1], self._picture.shape[0]

    def turn(self, decode: bool) -> bool:
        while self._position < len(self._paths):
            path = self._paths[self._position]
            self._position += 1
            if path not in self._unreadable and (not decode or self._decode(path)):
                return True
        return False

    def show(self, out: Pixels) -> None:
        assert self._picture is not None
        _settle(self._picture, out)

    def close(self) -> None:
        self._picture = self._decoded = None

    def _listed(self) -> list[Path]:
        try:
            if not self._path.is_dir():
                return [self._path]
            return sorted(
                path
                for path in self._path.iterdir()
                if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
            )
        except OSError as error:
            raise CameraError(f"the folder cannot be read ({error.strerror})", place=self._path) from error

    def _decode(self, path: Path) -> bool:
        """Decodes a picture, unless it is what was decoded last; remembers it where that fails."""
        try:
            told = path.stat()
            content = (path, told.st_mtime_ns, told.st_size)
            if content == self._decoded:
                return True
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        except (cv2.error, OSError):
            picture = None
        if picture is None:
            log.warning("%s cannot be decoded as a picture and is left out", path)
            self._unreadable.add(path)
            return False
        self._picture, self._decoded = picture.astype(np.uint8, copy=False), content
        return True


def _settle(picture: NDArray[Any], out: Pixels) -> None:
    """Sees to it that the picture is in `out`, where cv2 did not write it there itself."""
    if picture is out or np.shares_memory(picture, out):
        return
    if picture.shape == out.shape:
        np.copyto(out, picture)
    elif picture.ndim == out.ndim:
        cv2.resize(picture, out.shape[1::-1], dst=out, interpolation=cv2.INTER_AREA)
    else:
        raise CameraError("a picture has no three colours")
