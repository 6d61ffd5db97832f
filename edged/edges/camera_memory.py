"""Pictures from memory as a camera: what the loop costs when no camera costs anything. For measuring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from edged.core.shot import PictureFormat, Shot
from edged.core.types import Frame, Look, Pixels
from edged.ports import Clock


class MemorySource:
    """A source whose pictures lie in memory: four of them, in turn.

    Args:
        width_px, height_px: of the pictures, multiples of 16.
    """

    def __init__(self, clock: Clock, width_px: int, height_px: int) -> None:
        random = np.random.default_rng(0)
        coarse = random.integers(0, 256, (4, height_px // 16, width_px // 16, 3), dtype=np.uint8)
        self._size = (width_px, height_px)
        self.pictures: Sequence[Pixels] = [np.repeat(np.repeat(one, 16, axis=0), 16, axis=1) for one in coarse]
        self._clock = clock
        self._count = 0

    def open(self) -> PictureFormat:
        """The format of the pictures."""
        return PictureFormat(*self._size, "bgr")

    def grab(self) -> float:
        """There is always a next one."""
        self._count += 1
        return self._clock.monotonic()

    def retrieve(self, out: Shot) -> None:
        """A copy, as a driver makes one."""
        np.copyto(out.data, self.pictures[self._count % len(self.pictures)].reshape(-1))
        out.size_bytes = out.data.size

    def close(self) -> None:
        """Nothing to give back."""

    def came_back(self) -> bool:
        """It never goes."""
        return False


class MemoryCamera:
    """The pictures of a MemorySource without a thread and without a copy."""

    dropped = 0

    def __init__(self, source: MemorySource) -> None:
        self._source = source
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def newest(self, timeout_s: float) -> Look:  # noqa: ARG002
        """The next picture, at once."""
        self._count += 1
        return Frame(self._source.pictures[self._count % len(self._source.pictures)], self._source.grab())
