"""How late pictures come, told from the stream's own time.

Law: arithmetic on two times, no clock and no I/O. The two clocks start anywhere and drift apart; only growth counts.
"""

from __future__ import annotations

DRIFT = 0.001
"""How fast the camera's clock may lose against ours before that looks like lateness: quartz is 20 times better."""


class Lateness:
    """How much later than the stream's own time pictures come, against the most punctual one so far."""

    def __init__(self) -> None:
        self._ahead_s: float | None = None
        self._now_s = 0.0
        self._stream_s = 0.0

    def update(self, now_s: float, stream_s: float) -> float:
        """Seconds that a picture is late.

        Args:
            now_s: when it came.
            stream_s: its time in the stream; where that stands still or goes back, nothing can be said: 0.
        """
        ahead_s = now_s - stream_s
        if self._ahead_s is None or stream_s <= self._stream_s:
            best_s = ahead_s
        else:
            best_s = min(ahead_s, self._ahead_s + (now_s - self._now_s) * DRIFT)
        self._ahead_s, self._now_s, self._stream_s = best_s, now_s, stream_s
        return ahead_s - best_s
