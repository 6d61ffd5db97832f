"""What a picture looks like when nothing happens in it, cell by cell, and how far it strays from that by itself.

Law: pure arithmetic on the brightness of a few hundred cells, in seconds, into kept arrays. Knows no frames or regions.
A cell has moved when it is off its background by more than it, and the picture as a whole, usually strays. What the
light does to all cells at once is taken out first: one gain and one offset, found from the medians of the dark and of
the bright cells, which no object of less than half of the picture can bend.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float32]

FLOOR_LEVELS = 2.5
"""Less than this many of 256 levels is never movement: so much video compression does to a still scene."""
DEVIATIONS = 5.0
"""How many mean deviations off its background a cell has moved: 4 sigma of Gaussian noise."""
LIMIT_LEVELS = 50.0
"""So far off its background a cell has moved, however restless it is: leaves are less, a car on a busy road is more."""
LIMIT_ALL_LEVELS = 32.5
"""The same where most cells are restless. That is no noise and no leaves: the camera itself moves."""
CHANGED_SHARE = 0.5
"""Where more of the cells moved at once it is another scene: light, lightning, a pushed camera."""

LEARN_S = 3.0
"""How long a background and its noise take to be known."""
BACKGROUND_S = 4.0
"""Time constant of the background: what fades in over 20 s still stands out, a parked car is gone after 10 s."""
LATELY_S = 1.0
"""Time constant of how far off a cell was just now. It strays from that; what has stopped strays no more."""
DEVIATION_S = (10.0, 60.0)
"""Time constant of a cell's own deviation, in the beginning and at most. Leaves that sway for half a minute are no
movement any more; somebody who passes in two seconds leaves no trace."""
NOISE_MOST = 6.0
"""The most that is believed to be noise, of a cell: a pixel's would be 30 levels."""
NOISE_S = 3.0
"""Time constant of the noise of the whole picture."""
NOISE_JUMP = 3.0
"""How many times its usual noise, plus one level, a picture may have and still be noisy, not changed."""
MEAN_PER_QUARTILE = 1.18
"""Mean deviation of Gaussian noise, in distances from the median to a quartile."""
UNEVEN_NOISE = 1.5
"""How many times the noise of the quieter half the other one's is taken for noise: more is an object in it."""

PATIENCE_S = 15.0
"""So long in all may be spent on learning other scenes; then what keeps changing (a shaken camera, a flickering lamp)
is learnt as deviation."""
PATIENCE_BACK = 0.1
"""Seconds of patience that come back in one second."""

LIGHT_S = 1.0
"""A change of the light is sudden when it takes less; what takes longer is the camera's exposure, or the sun."""
LIGHT_LEVELS = 20.0
"""The least sudden change of the light that is worth a look."""
LIGHT_DEVIATION_S = 10.0
"""Time constant of how much the light changes usually: a television in a dark room does it all evening."""

SORT_S = 2.0
"""How often the cells are sorted anew into dark and bright ones."""
BLACK_LEVELS = 0.5
"""A cell below it is masked, or black: it does not follow the light."""
SMALL_LEVELS = 0.25
"""What less is off is left to the background: most pictures of a still scene cost less so."""
FIT_CELLS = 16
"""Fewer cells that are not black tell nothing about the light."""
FIT_LEVELS = 8.0
"""Dark and bright cells must be that far apart to tell a gain from an offset."""
GAIN_CHANGES = (-0.95, 3.0)
"""By which share the light may change between two pictures and still be the light."""


class Background:
    """The usual brightness of a number of cells. Must `learn` once before it can `follow`.

    Attributes:
        moved: (cells,) bool, which cells moved in the last picture; overwritten by `follow`.
        changed: whether the last picture as a whole was another one: another scene, or suddenly another light.
    """

    def __init__(self, cells: int) -> None:
        self.moved = np.zeros(cells, dtype=np.bool_)
        self.changed = False
        self._mean, self._deviation, self._lately = np.zeros((3, cells), dtype=np.float32)
        self._off, self._far, self._spare = np.zeros((3, cells), dtype=np.float32)
        self._light = _Light(self._mean)
        self._many = 0.0
        self._restless = False
        self._noise = 0.0
        self._age_s = self._settled_s = self._sorted_s = 0.0
        self._patience_s = PATIENCE_S

    def learn(self, cells: Cells) -> None:
        """Forgets everything: this picture is the background, of unknown noise. `cells` is (cells,) in 0..255."""
        self._deviation[:] = 0.0
        self._noise = 0.0
        self._age_s = 0.0
        self._patience_s = PATIENCE_S
        self._light = _Light(self._mean)
        self._settle(cells)

    def follow(self, cells: Cells, step_s: float) -> int:
        """How many cells moved in this picture, taken `step_s` after the last one; see `moved` and `changed`."""
        self._age_s += step_s
        self._settled_s += step_s
        self._sorted_s += step_s
        self._patience_s = min(self._patience_s + PATIENCE_BACK * step_s, PATIENCE_S)
        if self._sorted_s >= SORT_S:
            self._sort()
        off, far, limit = self._off, self._far, self._spare
        np.subtract(cells, self._mean, out=off)
        sudden, noise = self._light.take_out(off, step_s)
        np.absolute(off, out=far)
        np.maximum(self._deviation, self._believed(noise, step_s), out=limit)
        np.multiply(limit, DEVIATIONS, out=limit)
        np.add(limit, FLOOR_LEVELS, out=limit)
        np.minimum(limit, LIMIT_ALL_LEVELS if self._restless else LIMIT_LEVELS, out=limit)
        np.greater(far, limit, out=self.moved)
        moved = int(np.count_nonzero(self.moved))
        self.changed = sudden
        if moved > self._many and self._patience_s > 0.0:
            self.changed = True
            self._patience_s -= min(self._settled_s, LEARN_S)
            self._settle(cells)
        else:
            self._absorb(step_s)
        return moved

    def _believed(self, noise: float, step_s: float) -> float:
        """The noise to reckon with: this picture's own, unless it is so much more that something else must be in it."""
        if self._settled_s > LEARN_S:
            noise = min(noise, NOISE_JUMP * self._noise + 1.0)
        noise = min(noise, NOISE_MOST)
        self._noise += _share(step_s, min(NOISE_S, self._settled_s)) * (noise - self._noise)
        return noise

    def _absorb(self, step_s: float) -> None:
        """Moves background and deviations towards what was seen."""
        change, strays = self._spare, self._far
        np.multiply(self._off, _share(step_s, min(BACKGROUND_S, self._settled_s)), out=change)
        np.add(self._mean, change, out=self._mean)
        np.subtract(self._off, self._lately, out=strays)
        np.multiply(strays, _share(step_s, LATELY_S), out=change)
        np.add(self._lately, change, out=self._lately)
        np.absolute(strays, out=strays)
        np.subtract(strays, self._deviation, out=change)
        np.multiply(change, _share(step_s, min(DEVIATION_S[0] + self._age_s, DEVIATION_S[1])), out=change)
        np.add(self._deviation, change, out=self._deviation)

    def _settle(self, cells: Cells) -> None:
        """Takes this picture for the background; the deviations stay."""
        np.copyto(self._mean, cells)
        self._lately[:] = 0.0
        self._settled_s = 0.0
        self._sort()

    def _sort(self) -> None:
        self._sorted_s = 0.0
        bright = self._light.sort()
        self._many = CHANGED_SHARE * max(bright, self._mean.size / 4)
        self._restless = 2 * int(np.count_nonzero(self._deviation > NOISE_MOST)) > self._deviation.size


class _Light:
    """What the light does to all cells at once.

    Args:
        mean: (cells,) float32, the background; kept, and brought to the light of each picture.
    """

    def __init__(self, mean: Cells) -> None:
        self._mean = mean
        self._change = np.empty_like(mean)
        self._follows = np.zeros_like(mean)
        self._halves = np.zeros((2, 0), dtype=np.intp)
        self._values = np.zeros((2, 0), dtype=np.float32)
        self._quartiles = (0, 0, 0)
        self._levels = (0.0, 0.0)
        self._recent = 0.0
        self._usual = 0.0

    def sort(self) -> int:
        """Sorts the cells by their background into a dark and a bright half; how many are not black."""
        np.greater(self._mean, BLACK_LEVELS, out=self._follows)
        lit = int(np.count_nonzero(self._follows))
        half = lit // 2 if lit >= FIT_CELLS else 0
        order = np.argsort(self._mean)[self._mean.size - 2 * half :]
        self._halves = order.reshape(2, half)
        self._values = np.empty((2, half), dtype=np.float32)
        self._quartiles = half // 4, half // 2, half - 1 - half // 4
        if half:
            dark, bright = self._mean[self._halves].mean(axis=1).tolist()
            self._levels = dark, bright
        return lit

    def take_out(self, off: Cells, step_s: float) -> tuple[bool, float]:
        """Takes the common change of the light out of `off` and into the background.

        An object pulls quartiles away from their medians, on its side and in its half; the others tell the noise.

        Args:
            off: (cells,) float32, by how much each cell is off its background; changed in place.

        Returns:
            Whether the light changed suddenly, and the mean deviation of the picture's noise.
        """
        if not self._values.size:
            return False, 0.0
        np.take(off, self._halves, out=self._values, mode="clip")
        self._values.sort()
        (low, dark_off, high), (lower, bright_off, higher) = self._values[:, self._quartiles].tolist()
        noises = min(dark_off - low, high - dark_off), min(bright_off - lower, higher - bright_off)
        noise = min(max(noises), UNEVEN_NOISE * min(noises))
        both = (dark_off + bright_off) / 2.0
        if max(abs(dark_off), abs(bright_off)) > SMALL_LEVELS:
            self._relight(off, dark_off, bright_off)
        self._recent = self._recent * math.exp(-step_s / LIGHT_S) + both
        sudden = abs(self._recent) > LIGHT_LEVELS + DEVIATIONS * self._usual
        self._usual += _share(step_s, LIGHT_DEVIATION_S) * (abs(self._recent) - self._usual)
        return sudden, MEAN_PER_QUARTILE * noise

    def _relight(self, off: Cells, dark_off: float, bright_off: float) -> None:
        """Brings the background to the light in which dark and bright cells are off by so much."""
        dark, bright = self._levels
        gain = (bright_off - dark_off) / (bright - dark) if bright - dark >= FIT_LEVELS else 0.0
        gain = min(max(gain, GAIN_CHANGES[0]), GAIN_CHANGES[1])
        offset = (dark_off + bright_off - gain * (dark + bright)) / 2.0
        change, mean = self._change, self._mean
        np.multiply(mean, gain, out=change)
        np.add(change, offset, out=change)
        np.multiply(change, self._follows, out=change)
        np.subtract(off, change, out=off)
        np.add(mean, change, out=mean)
        np.minimum(mean, 255.0, out=mean)
        np.maximum(mean, 0.0, out=mean)
        self._levels = dark + dark_off, bright + bright_off


def _share(step_s: float, constant_s: float) -> float:
    """How much of the way to a new value is gone in one step."""
    return 1.0 - math.exp(-step_s / constant_s) if constant_s > 0.0 else 1.0
