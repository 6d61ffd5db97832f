"""What is in a file or a folder, as pictures in sequence: clips through OpenCV, pictures one file each.

Law: knows order and content, and no time: when a picture is due is for `camera_file.py` to say.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.core.errors import CameraError
from edged.core.types import Pixels
from edged.edges.camera_file_stills import PICTURE_SUFFIXES, decoded

log = logging.getLogger("edged.camera")

RATES = (0.1, 240.0)
"""What a clip's own frames a second may be; containers without a rate tell 0, 1000 or 90000."""

_Content = tuple[Path, int, int]


class Reel(Protocol):
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


def reel_of(path: Path) -> Reel:
    """What is in a file or a folder, not yet open.

    Raises:
        CameraError: there is no such file or folder.
    """
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
        self._unreadable: dict[Path, _Content | None] = {}
        self._picture: Pixels | None = None
        self._decoded: _Content | None = None

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
            if self._decode(path) if decode else path not in self._unreadable:
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
        """Decodes a picture, unless it is what was decoded last; told once where that fails, until it is another."""
        content = _content(path)
        if content is not None and content == self._decoded:
            return True
        if path in self._unreadable and self._unreadable[path] == content:
            return False
        picture = None if content is None else decoded(path)
        if picture is None:
            log.warning("%s cannot be decoded as a picture and is left out", path)
            self._unreadable[path] = content
            return False
        self._unreadable.pop(path, None)
        self._picture, self._decoded = picture, content
        return True


def _content(path: Path) -> _Content | None:
    """What tells one content of a file from another; None where it cannot be looked at."""
    try:
        told = path.stat()
    except OSError:
        return None
    return path, told.st_mtime_ns, told.st_size


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
