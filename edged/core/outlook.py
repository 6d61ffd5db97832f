"""Where a camera looks: the views that it has learnt, and whether the present one is another.

Law: compares edges and never brightness, because the light changes every evening and the house does not. Of an edge
only its direction counts and not which side is the lighter one, so that a lamp behind what the sun lit before changes
little. A picture that shows too little (night, fog) proves nothing and changes nothing.

A third of the view is enough to know it by: whoever stands in front of the camera covers no more than the rest. The
numbers were chosen on 502 photographs: two unrelated ones are less than 0.40 alike in 5 of 6 pairs (middle 0.30); one
and the same is at least 0.53 alike after a shift by up to 5 % of its size, 0.80 with half of it covered, 0.96 with a
hard shadow over it. A camera that was turned by so little that much of the view is the same is not found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edged.core.detail import COLUMNS, ROWS, Floats

LOST = 0.40
"""Less alike is another view, and it stays another one until it is `KNOWN` alike."""
KNOWN = 0.50
LEARN_S = 60.0
"""So long a first view must stay the same before anything is compared with it: whoever sets a camera up moves it."""
ACCEPT_S = 900.0
"""So long another view must stay the same to become the view: cameras are turned on purpose too."""
ADAPT_S = 600.0
"""How slowly a view follows what changes in it: faster than the sun, slower than a visitor."""
DOUBT_S = 10.0
"""So long a view that is on trial may look different, for someone who walks through it."""

_POOL = 2
_BLOCK = 5
_HEIGHT, _WIDTH = ROWS // _POOL, COLUMNS // _POOL
_SHIFTS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
_SOFT = 2.0
"""Levels: edges weaker than that are hardly counted, and strong ones by their root: one fence must not outvote all."""
_WEAK = 3.0
"""What is added to the strength of a block, so that two that show next to nothing are not alike."""
_TELLING = 6.0
"""The strength from which on a block shows something: in each of its 25 fields an edge of about 4 levels."""


class View:
    """A view that was learnt: the mean of the edges that were seen in it.

    Attributes:
        edges: (2, _HEIGHT, _WIDTH) float32.
        age_s: how long it was learnt; 0 means that it is empty.
        doubt_s: how long it has not been recognised, on trial.
    """

    def __init__(self) -> None:
        self.edges: Floats = np.zeros((2, _HEIGHT, _WIDTH), np.float32)
        self.age_s = 0.0
        self.doubt_s = 0.0
        self._step: Floats = np.zeros_like(self.edges)

    def forget(self) -> None:
        """Empty again."""
        self.age_s = self.doubt_s = 0.0

    def learn(self, edges: Floats, seconds: float) -> None:
        """Takes in what has been seen for that long: a plain mean at first, later one that forgets."""
        self.age_s += seconds
        self.doubt_s = 0.0
        np.subtract(edges, self.edges, out=self._step)
        if self.age_s > seconds:
            self._step *= seconds / min(self.age_s, ADAPT_S)
        self.edges += self._step


class Outlook:
    """Tells whether the camera looks elsewhere than before.

    It keeps two views, the one of now and the one before it: where day and night are too different to be one view,
    that costs one alarm and not two every day.

    Args:
        seen: (ROWS, COLUMNS) bool, the cells that no mask covers.

    Attributes:
        is_elsewhere: what the pictures so far say.
    """

    def __init__(self, seen: NDArray[np.bool_]) -> None:
        self.is_elsewhere = False
        self._views = [View(), View()]
        self._trial = View()
        inner = (ROWS - 2, COLUMNS - 2)
        self._across: Floats = np.zeros(inner, np.float32)
        self._down: Floats = np.zeros(inner, np.float32)
        self._size: Floats = np.zeros(inner, np.float32)
        self._valid = (seen[1:-1, 1:-1] & seen[1:-1, 2:] & seen[1:-1, :-2] & seen[2:, 1:-1] & seen[:-2, 1:-1]).astype(
            np.float32
        )
        self._fine: Floats = np.zeros((2, ROWS, COLUMNS), np.float32)
        self._rows: Floats = np.repeat(np.eye(_HEIGHT, dtype=np.float32), _POOL, axis=1) / np.float32(_POOL)
        self._columns: Floats = np.repeat(np.eye(_WIDTH, dtype=np.float32), _POOL, axis=0) / np.float32(_POOL)
        self._half: Floats = np.zeros((2, _HEIGHT, COLUMNS), np.float32)
        self._edges: Floats = np.zeros((2, _HEIGHT, _WIDTH), np.float32)
        self._shifted: Floats = np.zeros((len(_SHIFTS), 2, _HEIGHT, _WIDTH), np.float32)
        self._product: Floats = np.zeros_like(self._shifted)
        self._blocks = self._visible_blocks(seen)
        blocks = self._blocks.shape[1]
        self._strength: Floats = np.zeros((len(_SHIFTS), blocks), np.float32)
        self._needed = max(4, (blocks + 1) // 2)
        self._alike = max(2, (blocks + 2) // 3)

    def study(self, cells: Floats, seconds: float, *, held: bool) -> bool:
        """Looks at one picture and says whether the camera looks elsewhere.

        Args:
            cells: (ROWS, COLUMNS) float32, levels; not kept.
            seconds: since the last picture that was studied.
            held: a picture that proves nothing leaves `is_elsewhere` True; else it makes it False.
        """
        if self._blocks.shape[1] < self._needed or not self._describe(cells):
            self.is_elsewhere = self.is_elsewhere and held
            return self.is_elsewhere
        known = [view for view in self._views if view.age_s]
        likeness, best = max(((self._likeness(view), view) for view in known), default=(0.0, None), key=lambda x: x[0])
        if best is not None and likeness >= (KNOWN if self.is_elsewhere else LOST):
            self.is_elsewhere = False
            self._trial.forget()
            best.learn(self._edges, seconds)
            if best is not self._views[0]:
                self._views.reverse()
        else:
            self.is_elsewhere = best is not None
            self._try(seconds)
        return self.is_elsewhere

    def interrupt(self) -> None:
        """There were no pictures for a while: what is on trial begins anew, what was learnt stays."""
        self._trial.forget()

    def _try(self, seconds: float) -> None:
        """Counts how long the new view has been the same one, and takes it in when that is long enough."""
        trial = self._trial
        if trial.age_s and self._likeness(trial) < LOST:
            trial.doubt_s += seconds
            if trial.doubt_s < DOUBT_S:
                return
            trial.forget()
        trial.learn(self._edges, seconds)
        if trial.age_s >= (ACCEPT_S if self.is_elsewhere else LEARN_S):
            self._trial = self._views.pop()
            self._trial.forget()
            self._views.insert(0, trial)
            self.is_elsewhere = False

    def _describe(self, cells: Floats) -> bool:
        """Makes `_edges` of a picture, and the same shifted by one field each way; False where it shows too little."""
        across, down, size = self._across, self._down, self._size
        np.subtract(cells[1:-1, 2:], cells[1:-1, :-2], out=across)
        np.subtract(cells[2:, 1:-1], cells[:-2, 1:-1], out=down)
        np.hypot(across, down, out=size)
        # Twice the angle, so that light-to-dark and dark-to-light are one direction; the length is the root's.
        direction, diagonal = self._fine[0, 1:-1, 1:-1], self._fine[1, 1:-1, 1:-1]
        np.multiply(across, down, out=diagonal)
        diagonal *= 2.0
        np.square(across, out=across)
        np.square(down, out=down)
        np.subtract(across, down, out=direction)
        np.add(size, _SOFT, out=down)
        np.sqrt(down, out=down)
        size += 1e-6
        down *= size
        np.divide(self._valid, down, out=down)
        direction *= down
        diagonal *= down
        np.matmul(self._rows, self._fine, out=self._half)
        np.matmul(self._half, self._columns, out=self._edges)
        for shifted, (y, x) in zip(self._shifted, _SHIFTS, strict=True):
            shifted[:, max(y, 0) : _HEIGHT + min(y, 0), max(x, 0) : _WIDTH + min(x, 0)] = self._edges[
                :, max(-y, 0) : _HEIGHT + min(-y, 0), max(-x, 0) : _WIDTH + min(-x, 0)
            ]
        np.square(self._shifted, out=self._product)
        np.sqrt(self._by_block(), out=self._strength)
        return self._is_telling(self._strength[_SHIFTS.index((0, 0))])

    def _likeness(self, view: View) -> float:
        """How much a view is like the picture that was described: the mean of the blocks that fit best, at most 1.

        A view that shows too little is like everything: nothing can be said against it.
        """
        own = np.sqrt(np.square(view.edges).sum(axis=0).reshape(-1) @ self._blocks)
        if not self._is_telling(own):
            return 1.0
        np.multiply(self._shifted, view.edges, out=self._product)
        alike = self._by_block() / (self._strength * own + _WEAK)
        alike.partition(alike.shape[1] - self._alike, axis=1)
        return float(alike[:, -self._alike :].mean(axis=1).max())

    def _by_block(self) -> Floats:
        """(shifts, blocks): the sums of `_product`."""
        sums: Floats = self._product.sum(axis=1).reshape(len(_SHIFTS), -1) @ self._blocks
        return sums

    def _is_telling(self, strength: Floats) -> bool:
        return bool(np.count_nonzero(strength >= _TELLING) >= self._needed)

    def _visible_blocks(self, seen: NDArray[np.bool_]) -> Floats:
        """(fields, blocks): which field belongs to which block; blocks that are mostly masked are left out."""
        row, column = np.divmod(np.arange(_HEIGHT * _WIDTH), _WIDTH)
        block = row // _BLOCK * (_WIDTH // _BLOCK) + column // _BLOCK
        belongs = (block[:, None] == np.arange(block.max() + 1)).astype(np.float32)
        fields = seen[::_POOL, ::_POOL].ravel().astype(np.float32) @ belongs
        kept: Floats = np.ascontiguousarray(belongs[:, fields >= _BLOCK * _BLOCK / 2])
        return kept
