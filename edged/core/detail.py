"""Whether a picture shows anything at all.

Law: brightness and noise alone say nothing; sharp detail does. It is how much the brightness of a cell differs from the
middle between its two neighbours, times two, at the fifth sharpest place of the picture. A hand, a cloth, a lid, dew on
the lens have none, however bright and however uneven they are. Over 502 photographs the least is 53 levels, and 5.7
when they are darkened to a tenth (half of them have 166 and 16); an even surface through a poor JPEG has 2 to 3. Noise
is told from detail by its being another one in each picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edged.core.types import Box, Pixels

Floats = NDArray[np.float32]

ROWS, COLUMNS = 30, 40
"""Of cells, at most: a smaller picture has one for each pixel."""
MARGIN_PX = 3
"""Around a mask: where pixels are mixtures the mask is larger than it says, and its border would pass for an edge."""
MIN_CELLS = 48
"""With less to see nothing is said about it."""
SHARPEST = 5
"""The place at which detail is measured: the lamp of a street is so small."""
BARE = 4.0
"""Levels of sharp detail: less is a picture that shows nothing, until it has `CLEAR` times that."""
CLEAR = 1.4
NOISY = 12.0
"""The most that `BARE` is raised by noise."""
NOISE_DETAIL = 10.0
"""How much detail pure noise feigns, as a multiple of the median change between pictures: 8 measured, at most 9."""
AVERAGE_S = 2.5
BLACK, WHITE, BAND = 32.0, 224.0, 6.0
"""Mean levels that tell the names apart; a name is kept until it is `BAND` beyond its border."""


class Cells:
    """A picture reduced to few cells, each the mean of its visible pixels.

    Args:
        shape: (height, width) of the pictures.
        masks: what must not count.

    Attributes:
        seen: (rows, columns) bool, the cells of which at least half is visible.
    """

    def __init__(self, shape: tuple[int, int], masks: Sequence[Box]) -> None:
        height, width = shape
        visible = np.ones(shape, np.float32)
        for mask in masks:
            left, top, right, bottom = mask.covering(width, height)
            visible[max(0, top - MARGIN_PX) : bottom + MARGIN_PX, max(0, left - MARGIN_PX) : right + MARGIN_PX] = 0.0
        # A picture much larger than it need be: rows and columns are left out rather than averaged.
        self._stride = max(1, height // (4 * ROWS), width // (4 * COLUMNS))
        self._visible: Floats = np.ascontiguousarray(visible[:: self._stride, :: self._stride])
        height, width = self._visible.shape
        self._down = _shares(min(ROWS, height), height)
        self._across = np.ascontiguousarray(_shares(min(COLUMNS, width), width).T)
        share = self._down @ self._visible @ self._across
        self.seen: NDArray[np.bool_] = share >= 0.5
        self._scale = np.where(self.seen, 1.0 / np.maximum(share, 0.5), 0.0).astype(np.float32)
        self._pixels: Floats = np.zeros_like(self._visible)
        self._half: Floats = np.zeros((self._down.shape[0], width), np.float32)

    def of(self, luma: Pixels, out: Floats) -> None:
        """Writes the means, (rows, columns) float32; 0 where nothing is seen."""
        np.multiply(luma[:: self._stride, :: self._stride], self._visible, out=self._pixels)
        np.matmul(self._down, self._pixels, out=self._half)
        np.matmul(self._half, self._across, out=out)
        out *= self._scale


def _shares(count: int, size: int) -> Floats:
    """(count, size) float32: how much of each of `size` pixels belongs to each of `count` cells; rows sum to 1."""
    edges = np.arange(count + 1) * (size / count)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    shares: Floats = (overlap.clip(0.0) * (count / size)).astype(np.float32)
    return shares


class Detail:
    """What pictures of one size show, from one to the next.

    Args:
        seen: (rows, columns) bool, the cells that count.

    Attributes:
        name: black, blinded or covered while the pictures show nothing, else None.
        mean: (rows, columns) float32, the pictures of the last seconds: without noise, and without what hurries by.
    """

    def __init__(self, seen: NDArray[np.bool_]) -> None:
        self.name: str | None = None
        self.mean: Floats = np.zeros(seen.shape, np.float32)
        self._before: Floats = np.zeros_like(self.mean)
        self._change: Floats = np.zeros_like(self.mean)
        self._is_first = True
        self._seen = int(np.count_nonzero(seen))
        rows, columns = seen.shape
        if min(rows, columns) < 3:
            self._seen = 0
            return
        self._sideways_counts = (seen[:, 2:] & seen[:, 1:-1] & seen[:, :-2]).astype(np.float32)
        self._upright_counts = (seen[2:] & seen[1:-1] & seen[:-2]).astype(np.float32)
        split = self._sideways_counts.size
        self._details: Floats = np.zeros(split + self._upright_counts.size, np.float32)
        self._sideways = self._details[:split].reshape(self._sideways_counts.shape)
        self._upright = self._details[split:].reshape(self._upright_counts.shape)
        if self._sideways_counts.sum() + self._upright_counts.sum() < MIN_CELLS:
            self._seen = 0

    def interrupt(self) -> None:
        """There were no pictures for a while: the next one is the first."""
        self._is_first = True

    def look(self, cells: Floats, seconds: float) -> None:
        """Takes in one picture, (rows, columns) float32, that came so long after the one before; not kept."""
        if self._seen < MIN_CELLS:
            return
        noise = 0.0
        if self._is_first:
            self._is_first = False
            self.mean[:] = cells
        else:
            np.subtract(cells, self._before, out=self._change)
            np.abs(self._change, out=self._change)
            noise = self._middle(self._change)
            share = min(0.5, seconds / AVERAGE_S)
            np.subtract(cells, self.mean, out=self._change)
            self._change *= share
            self.mean += self._change
            # What is left of noise in a mean that replaces so much of itself with each picture.
            noise *= math.sqrt(share / (2.0 - share))
        self._before[:] = cells
        limit = min(NOISY, max(BARE, NOISE_DETAIL * noise))
        shown = min(self._detail(cells) / BARE, self._detail(self.mean) / limit)
        if shown >= (CLEAR if self.name else 1.0):
            self.name = None
        else:
            self.name = self._called(float(cells.sum()) / self._seen)

    def _called(self, level: float) -> str:
        """The name of a picture that shows nothing, by its mean level."""
        if level < BLACK + self._kept("black"):
            return "black"
        return "blinded" if level > WHITE - self._kept("blinded") else "covered"

    def _kept(self, name: str) -> float:
        """How far beyond its border a name reaches: less far than the one that is in use."""
        if self.name is None:
            return 0.0
        return BAND if self.name == name else -BAND

    def _middle(self, change: Floats) -> float:
        """The median over the cells that are seen: the others never change, and so are among the smallest."""
        flat = change.reshape(-1)
        at = flat.size - self._seen + self._seen // 2
        flat.partition(at)
        return float(flat[at])

    def _detail(self, cells: Floats) -> float:
        """Sharp detail in levels."""
        for out, counts, middle, one, other in (
            (self._sideways, self._sideways_counts, cells[:, 1:-1], cells[:, 2:], cells[:, :-2]),
            (self._upright, self._upright_counts, cells[1:-1], cells[2:], cells[:-2]),
        ):
            np.add(one, other, out=out)
            out *= 0.5
            out -= middle
            np.abs(out, out=out)
            out *= counts
        self._details.partition(self._details.size - SHARPEST)
        return 2.0 * float(self._details[-SHARPEST])
