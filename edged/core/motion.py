"""The motion gate: which regions of a frame are worth an `invoke()`, judged by a small picture of its brightness.

Law: reads `Frame.t_s` and `Frame.luma` and nothing else, for a frame that is not due shall never be decoded. Counts
seconds, never frames. Whatever it cannot tell apart from movement makes a region due; whatever keeps on moving becomes
background; and what it overlooks is found by `idle_fps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edged.core.background import LEARN_S, Background, Cells
from edged.core.types import Box, Frame, Pixels, Region

CELLS_LEAST, CELLS_MOST = 12, 18
"""Cells along the shorter side. About 15: what fills 5 % of a picture covers a dozen of them, and the mean of a cell of
80x60 pixels has a quarter of a pixel's noise."""
CELLS_IN_ALL = 1500
"""At most, however long a picture is for its width."""
CELL_MOST_PX = 16
"""Side of a cell. Of larger pictures only every second, third, … pixel is read; and 16 * 16 * 255 fits into uint16."""

MOVED_SHARE = 0.01
"""Of a region's cells: fewer that moved are noise. Three cells of a whole picture."""
MOVED_LEAST = 2
"""Cells, however small the region, but for one of less than `TINY_CELLS`."""
TINY_CELLS = 8
HOLD_S = 2.0
"""After the last movement: what entered and stopped is judged while it stands still, and by more than one picture."""
GAP_S = 5.0
"""Without a picture for so long, anything may have changed."""


class MotionGate:
    """Lets a region pass when something moved in it, when it was not looked at for long, or when a rule asks for it.

    Args:
        regions: all regions of the device.
        idle_fps: how often a region is due where nothing moves; 0 for never.
        undecided: whether a rule of that region needs the next picture to decide, see `Decider.undecided`.
    """

    def __init__(self, regions: Sequence[Region], idle_fps: float, undecided: Callable[[Region], bool]) -> None:
        self._regions = tuple(regions)
        self._numbered = tuple(enumerate(self._regions))
        self._idle_s = 1.0 / idle_fps if idle_fps > 0.0 else math.inf
        self._undecided = undecided
        self._last_s = [-math.inf] * len(self._regions)
        self._held_s = [-math.inf] * len(self._regions)
        self._t_s = -math.inf
        self._shape: tuple[int, ...] = ()
        self._grid = Grid(1, 1)
        self._background = Background(1)
        self._parts: list[tuple[NDArray[np.bool_], int]] = []

    def due(self, frame: Frame) -> Sequence[Region]:
        """The regions to classify in this frame; all that is read of it is `t_s` and `luma`."""
        t_s, luma = frame.t_s, frame.luma
        step_s = t_s - self._t_s
        self._t_s = t_s
        if luma.shape != self._shape:
            self._resize(luma.shape)
            self._learn(luma)
        elif step_s >= GAP_S:
            self._learn(luma)
        else:
            self._follow(luma, step_s)
        # A region that would be overdue at the next frame is due now; the rest of a step is for rounding.
        idle_s = self._idle_s - 0.99 * step_s
        last_s, held_s, undecided = self._last_s, self._held_s, self._undecided
        due = []
        for number, region in self._numbered:
            if t_s < held_s[number] or t_s - last_s[number] > idle_s or undecided(region):
                last_s[number] = t_s
                due.append(region)
        return due

    def _resize(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._grid = grid = Grid(shape[0], shape[1])
        self._background = Background(grid.means.size)
        moved = self._background.moved.reshape(grid.means.shape)
        parts = [moved[grid.part(region.box)] for region in self._regions]
        self._parts = [(part, _enough(part.size)) for part in parts]

    def _learn(self, luma: Pixels) -> None:
        self._background.learn(self._grid.of(luma))
        self._hold(LEARN_S)

    def _follow(self, luma: Pixels, step_s: float) -> None:
        background = self._background
        moved = background.follow(self._grid.of(luma), step_s)
        if background.changed:
            self._hold(LEARN_S)
        elif moved:
            for number, (part, enough) in enumerate(self._parts):
                if np.count_nonzero(part) >= enough:
                    self._held_s[number] = max(self._held_s[number], self._t_s + HOLD_S)

    def _hold(self, seconds: float) -> None:
        self._held_s[:] = [self._t_s + seconds] * len(self._held_s)


def _enough(cells: int) -> int:
    return 1 if cells < TINY_CELLS else max(MOVED_LEAST, round(cells * MOVED_SHARE))


def _side(height: int, width: int) -> int:
    """Side of a cell: the one that leaves least over at the edges, the larger one where two do."""
    shorter = min(height, width)
    least = max(1, -(-shorter // CELLS_MOST), math.ceil(math.sqrt(height * width / CELLS_IN_ALL)))
    sides = range(min(least, shorter), max(least, shorter // CELLS_LEAST) + 1)
    return max(sides, key=lambda side: ((height // side * side) * (width // side * side), side), default=1)


class Grid:
    """Square cells over a picture of one size. What is left over at the edges is less than a cell and not looked at.

    Attributes:
        means: (rows, columns) float32, the brightness of each cell in 0..255; overwritten by `of`.
    """

    def __init__(self, height_px: int, width_px: int) -> None:
        self._step = step = -(-min(height_px, width_px) // (CELL_MOST_PX * CELLS_LEAST))
        height, width = -(-height_px // step), -(-width_px // step)
        side = _side(height, width)
        rows, columns = height // side, width // side
        top, left = (height - rows * side) // 2, (width - columns * side) // 2
        self._window = slice(top, top + rows * side), slice(left, left + columns * side)
        self._split = rows, side, columns * side
        self._size_px = height_px, width_px
        self._first_px, self._side_px = (top * step, left * step), side * step
        self._stripes = np.empty((rows, columns * side), dtype=np.uint16)
        self._strips = [self._stripes[:, start::side] for start in range(side)]
        self._sums = np.empty((rows, columns), dtype=np.uint16)
        self._scale = np.float32(1.0 / (side * side))
        self.means: Cells = np.empty((rows, columns), dtype=np.float32)

    def of(self, luma: Pixels) -> Cells:
        """The means of one picture of this size, (cells,) float32, row by row; borrowed until the next call."""
        picture = luma[:: self._step, :: self._step] if self._step > 1 else luma
        np.add.reduce(picture[self._window].reshape(self._split), axis=1, dtype=np.uint16, out=self._stripes)
        first, *others = self._strips
        sums = first
        for strip in others:
            sums = np.add(sums, strip, out=self._sums)
        np.multiply(sums, self._scale, out=self.means, dtype=np.float32)
        return self.means.reshape(-1)

    def part(self, box: Box) -> tuple[slice, slice]:
        """Rows and columns of the cells that a box touches, at least one."""
        left, top, right, bottom = box.pixels(self._size_px[1], self._size_px[0])
        rows, columns = self.means.shape
        return self._cells(top, bottom, self._first_px[0], rows), self._cells(left, right, self._first_px[1], columns)

    def _cells(self, begin_px: int, end_px: int, first_px: int, count: int) -> slice:
        first = min(max((begin_px - first_px) // self._side_px, 0), count - 1)
        return slice(first, max(min(-(-(end_px - first_px) // self._side_px), count), first + 1))
