"""Still pictures: whole ones alone. What a download or a copy broke off is no picture, half grey or not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edged.core.errors import CameraError
from edged.core.types import Pixels

cv2.setNumThreads(1)  # as in `pixels`; where no thread may be started, none is

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_JPEG, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG, _PNG_END = b"\x89PNG", b"IEND"


def read_still(path: Path) -> Pixels:
    """One picture: (height, width, 3) uint8 BGR, turned as its file says.

    Raises:
        CameraError: it is none: one sentence.
    """
    try:
        if path.is_dir():
            raise CameraError("it is a folder: expected a picture, or name those in it one by one", place=path)
        data = path.read_bytes()
    except FileNotFoundError:
        raise CameraError("there is no such file", place=path) from None
    except (OSError, ValueError) as error:
        raise CameraError(f"it cannot be read ({getattr(error, 'strerror', None) or error})", place=path) from None
    try:
        return still_in(data)
    except CameraError as error:
        raise CameraError(error.text, place=path) from None


def still_in(data: bytes) -> Pixels:
    """The picture in the bytes of a file, as `read_still` gives it.

    Raises:
        CameraError: they are none: one sentence, without a place.
    """
    if _is_cut_off(data):
        raise CameraError("the picture is cut off: fetch or copy it again")
    picture = _picture(data)
    if picture is None:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise CameraError(f"it cannot be decoded as a picture: expected a still image, one of {known}")
    return picture


def decoded(path: Path) -> Pixels | None:
    """The same picture; None where there is none that is whole."""
    try:
        return read_still(path)
    except CameraError:
        return None


def _picture(data: bytes) -> Pixels | None:
    try:
        found = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:
        return None
    return None if found is None else found.astype(np.uint8, copy=False)


def _is_cut_off(data: bytes) -> bool:
    """Whether the end is missing. The decoders make up what is not there, and at most complain on stderr."""
    if data.startswith(_JPEG):
        # A preview inside has an end of its own; the pixels of the picture itself follow the last scan's header.
        return _JPEG_END not in data[max(data.rfind(_JPEG_SCAN), 0) :]
    return data.startswith(_PNG) and _PNG_END not in data
