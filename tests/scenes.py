"""Small clips and pictures that tests write for themselves. Knows nothing of edged but its pixel format."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from edged.core.types import Pixels

SIZE = (64, 48)


def flat(level: int, size: tuple[int, int] = SIZE) -> Pixels:
    """A grey picture: (height, width, 3) uint8, every pixel `level`."""
    return np.full((size[1], size[0], 3), level, np.uint8)


def write_clip(path: Path, pictures: Iterable[Pixels], fps: float) -> Path:
    """Writes an .avi or .mkv without loss (FFV1), so that its pixels come back as they were."""
    writer = None
    for picture in pictures:
        if writer is None:
            size = (picture.shape[1], picture.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), fps, size)
            assert writer.isOpened(), f"this OpenCV cannot write {path}"
        writer.write(picture)
    assert writer is not None, "a clip has at least one picture"
    writer.release()
    return path


def write_picture(path: Path, picture: Pixels) -> Path:
    """Writes one picture; the suffix says as what."""
    assert cv2.imwrite(str(path), picture)
    return path
