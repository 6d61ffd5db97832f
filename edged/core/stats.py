"""Running figures without growth: a ring of the last samples and what health needs of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Percentiles:
    """p50, p95 and p99 of some samples, in the samples' own unit."""

    p50: float
    p95: float
    p99: float


class Ring:
    """The last `capacity` samples, preallocated."""

    def __init__(self, capacity: int) -> None:
        self._samples = np.zeros(capacity, dtype=np.float64)
        self._count = 0

    @property
    def count(self) -> int:
        """How many were added since the beginning or the last `clear`."""
        return self._count

    def clear(self) -> None:
        """Forgets them all: what comes is of something else."""
        self._count = 0

    def add(self, sample: float) -> None:
        """Keeps one more, forgetting the oldest."""
        self._samples[self._count % len(self._samples)] = sample
        self._count += 1

    def percentiles(self) -> Percentiles | None:
        """Of what is kept; None while nothing is."""
        if not self._count:
            return None
        p50, p95, p99 = np.percentile(self._samples[: self._count], (50, 95, 99))
        return Percentiles(float(p50), float(p95), float(p99))


class Rate:
    """Events a second between two readings.

    Args:
        t_s: now, monotonic seconds.
    """

    def __init__(self, t_s: float) -> None:
        self._t_s = t_s
        self._count = 0

    def read(self, t_s: float, count: int) -> float | None:
        """The rate since the last reading of a counter that stands at `count` now; None in no time at all."""
        passed_s, grown = t_s - self._t_s, count - self._count
        if passed_s <= 0:
            return None
        self._t_s, self._count = t_s, count
        return grown / passed_s
