"""How fast a backlog follows: so many a second on average, in small helpings. Pure: time comes in as an argument."""

from __future__ import annotations


class Drain:
    """A bucket that fills with time and is emptied by what is sent.

    Args:
        per_s: the average; the bucket holds one second of it.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._level = 0.0
        self._t_s: float | None = None

    def may(self, t_s: float) -> bool:
        """Whether one more may go at `t_s`."""
        if self._t_s is not None:
            self._level = min(self._level + (t_s - self._t_s) * self._per_s, max(self._per_s, 1.0))
        self._t_s = t_s
        return self._level >= 1.0

    def took(self) -> None:
        """One went."""
        self._level -= 1.0
