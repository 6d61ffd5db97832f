"""Shots between the capture thread and the loop: which are due, and the slot of three kept buffers for the newest.

Law: buffers change hands by swapping indices under one lock, pixels are never copied, and nothing is allocated but
when the picture's format changes. Knows no camera, no clock (time is the shots' own) and no cv2.
"""

from __future__ import annotations

import math
import threading

import numpy as np

from edged.core.shot import PictureFormat, Shot


class ShotSlot:
    """One producer, one consumer, three shots: one being written, one waiting, one being read.

    The producer writes into `back` and calls `publish()`; the consumer calls `take()`.

    Args:
        lockstep: the producer waits until the consumer took the previous shot, so that none is dropped. Otherwise
            the newest wins.

    Attributes:
        format: of the shots to come; None before the first `refit()`. The producer's.
        dropped: shots that were published and overwritten before anybody took them.
    """

    def __init__(self, lockstep: bool = False) -> None:
        self.format: PictureFormat | None = None
        self.dropped = 0
        self._lockstep = lockstep
        self._condition = threading.Condition(threading.Lock())
        self._shots: list[tuple[Shot, PictureFormat]] = []
        self._back, self._ready, self._front = 0, 1, 2
        self._unread = False
        self._closed = False

    @property
    def back(self) -> Shot:
        """The producer's own shot, from one `publish()` to the next; its `t_s` is the producer's to set."""
        return self._shots[self._back][0]

    @property
    def unread(self) -> bool:
        """Whether the consumer has not yet come for what was published last."""
        return self._unread

    def refit(self, picture_format: PictureFormat) -> bool:
        """Makes the buffers where the format is new. The producer's.

        A shot that the consumer holds stays as it is. One of the old format that nobody took is dropped; in lockstep
        it is waited for.

        Returns:
            False when the slot is closed.
        """
        with self._condition:
            if picture_format == self.format:
                return not self._closed
            self._wait_until_taken()
            if self._unread:
                self.dropped += 1
                self._unread = False
            buffers = [np.zeros(picture_format.size_bytes, np.uint8) for _ in range(3)]
            self._shots = [(Shot(buffer, 0, 0.0), picture_format) for buffer in buffers]
            self.format = picture_format
            return not self._closed

    def publish(self) -> bool:
        """Hands `back` over; afterwards `back` is another, free one. The producer's.

        Returns:
            False when the slot is closed: nothing was handed over.
        """
        with self._condition:
            self._wait_until_taken()
            if self._closed:
                return False
            if self._unread:
                self.dropped += 1
            self._back, self._ready = self._ready, self._back
            self._unread = True
            self._condition.notify_all()
            return True

    def take(self, timeout_s: float) -> tuple[Shot, PictureFormat] | None:
        """The newest shot that was not yet taken, waited for at most `timeout_s`. The consumer's.

        Borrowed: written by nobody else until the next call that returns one. None also when woken by `wake()`.
        """
        with self._condition:
            if not self._unread and not self._closed and timeout_s > 0:
                self._condition.wait(timeout_s)
            if not self._unread:
                return None
            self._front, self._ready = self._ready, self._front
            self._unread = False
            self._condition.notify_all()
            return self._shots[self._front]

    def discard(self) -> None:
        """Drops what nobody took yet: it is no good. The producer's."""
        with self._condition:
            self.dropped += self._unread
            self._unread = False

    def wake(self) -> None:
        """Ends a `take()` that waits: there is something to know that is no frame."""
        with self._condition:
            self._condition.notify_all()

    def close(self) -> None:
        """Ends every waiting, now and later."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _wait_until_taken(self) -> None:
        while self._lockstep and self._unread and not self._closed:
            self._condition.wait()


class Pacer:
    """Says which pictures are due, by their own times.

    The slack of half a camera period makes it every third picture of a 30 fps camera at 10 fps, whatever the jitter.
    """

    def __init__(self, fps: float) -> None:
        self._interval_s = 1.0 / fps
        self.restart()

    def restart(self) -> None:
        """The next picture is due, whenever it was taken."""
        self._due_s = -math.inf
        self._last_s: float | None = None
        self._period_s: float | None = None

    def is_due(self, t_s: float) -> bool:
        """Whether the picture taken at `t_s` is one to look at. To be asked once for every picture."""
        if self._last_s is not None:
            gap_s = min(max(t_s - self._last_s, 0.0), self._interval_s)
            self._period_s = gap_s if self._period_s is None else self._period_s + (gap_s - self._period_s) / 8
        self._last_s = t_s
        late_s = t_s - self._due_s
        if -2.0 * self._interval_s < late_s < -0.5 * (self._period_s or 0.0):
            return False
        # After a gap, or where time jumped, nothing is made up for.
        self._due_s = (self._due_s if abs(late_s) < self._interval_s else t_s) + self._interval_s
        return True
