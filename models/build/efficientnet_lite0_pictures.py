"""Pictures as the daemon shows them to the model.

Law: the same geometry as the daemon's: the largest centred square, shrunk to the input's size, BGR to RGB. Pixels
stay uint8 here; `normalise` is the manifest's mean and standard deviation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from efficientnet_lite0_network import INPUT_MEAN, INPUT_SIZE_PX, INPUT_STD


@dataclass(frozen=True)
class Picture:
    """A labelled photograph on disk: NNNN_WNID_name.jpg, NNNN being its class."""

    path: Path
    label_index: int
    wnid: str
    sha256: str


def list_pictures(folder: Path) -> list[Picture]:
    """All pictures of the folder, by name.

    Raises:
        ValueError: there are none, or a name does not say its class.
    """
    pictures = []
    for path in sorted(folder.glob("*.jpg")):
        parts = path.stem.split("_", 2)
        if len(parts) != 3 or not parts[0].isdigit():
            raise ValueError(f"{path.name}: expected a name like 0281_n02123045_tabby.jpg")
        pictures.append(Picture(path, int(parts[0]), parts[1], hashlib.sha256(path.read_bytes()).hexdigest()))
    if not pictures:
        raise ValueError(f"{folder}: expected pictures named NNNN_WNID_name.jpg, found none")
    return pictures


def load_pixels(pictures: list[Picture], interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    """(n, height, width, 3) uint8, RGB, at the model's input size."""
    return np.stack([fit(_read(picture.path), interpolation) for picture in pictures])


def fit(bgr: np.ndarray, interpolation: int) -> np.ndarray:
    """Largest centred square of a BGR picture, shrunk to the input's size, as RGB."""
    height, width = bgr.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = bgr[top : top + side, left : left + side]
    small = cv2.resize(square, (INPUT_SIZE_PX, INPUT_SIZE_PX), interpolation=interpolation)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Real values of the model's input, float32."""
    return ((pixels.astype(np.float32) - INPUT_MEAN) / INPUT_STD).astype(np.float32)


def _read(path: Path) -> np.ndarray:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{path.name}: expected a picture, found something that cannot be decoded")
    return bgr
