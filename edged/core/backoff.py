"""How long to wait before the next try: growing, capped, and forgetting slowly. Pure: time comes in as an argument."""

from __future__ import annotations


class Backoff:
    """Doubling delays with decay.

    A thing that works for a moment and fails again should not start from the shortest delay each time, so a success
    does not reset the delay: every `decay_s` of success halves it.

    Args:
        first_s: the shortest delay.
        cap_s: the longest delay.
        decay_s: seconds of success that halve the delay again.
    """

    def __init__(self, first_s: float, cap_s: float, decay_s: float) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._decay_s = decay_s
        self._delay_s = 0.0
        self._good_since_s: float | None = None

    def failed(self, t_s: float) -> float:
        """A try failed at `t_s`: returns the seconds to wait before the next one."""
        if self._good_since_s is not None:
            self._delay_s *= 0.5 ** ((t_s - self._good_since_s) / self._decay_s)
            self._good_since_s = None
        self._delay_s = min(max(self._delay_s * 2.0, self._first_s), self._cap_s)
        return self._delay_s

    def at_least(self, delay_s: float) -> None:
        """The next delay shall not be shorter than this (but never longer than the cap)."""
        self._delay_s = max(self._delay_s, delay_s / 2.0)
        self._good_since_s = None

    def worked(self, t_s: float) -> None:
        """It works since `t_s`; further calls during the same success change nothing."""
        if self._good_since_s is None:
            self._good_since_s = t_s
