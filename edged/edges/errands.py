"""Work that would hold up a turn of the loop, done beside it: one errand after the other, each in a thread of its own.

Law: what an errand gives comes back in `turn`, in the thread of whoever calls that. An errand holds nothing that the
loop uses meanwhile.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from edged.core.errors import EdgedError

T = TypeVar("T")

SHORTLY_S = 0.0005
"""So long an errand may keep the interpreter lock from the loop; Python's own value is ten times that, at each step."""


class Errands:
    """A queue of errands."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Callable[[], None]], str]] = deque()
        self._thread: threading.Thread | None = None
        self._finish: Callable[[], None] | None = None
        self._interval_s = sys.getswitchinterval()

    @property
    def idle(self) -> bool:
        """Whether nothing is being done and nothing waits."""
        return self._thread is None and not self._waiting

    def add(self, name: str, work: Callable[[], T], done: Callable[[T | EdgedError], object]) -> None:
        """Has some work done when its turn comes.

        Args:
            name: of the thread.
            done: gets what the work gave, or the error of edged's own that it raised. Any other ends in `turn`.
        """

        def run() -> Callable[[], None]:
            try:
                found: T | EdgedError = work()
            except EdgedError as error:
                found = error
            except Exception as error:  # noqa: BLE001 - raised again in `turn`
                return _raising(error)

            def finish() -> None:
                done(found)

            return finish

        self._waiting.append((run, name))
        self._begin()

    def turn(self) -> None:
        """Hands over what is finished and begins what waits."""
        if self._thread is None or self._thread.is_alive():
            return
        self._thread, finish = None, self._finish
        self._finish = None
        sys.setswitchinterval(self._interval_s)
        if finish is not None:
            finish()
        self._begin()

    def end(self, timeout_s: float) -> None:
        """Waits for what is being done; what waits is dropped, and nothing is handed over any more."""
        self._waiting.clear()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _begin(self) -> None:
        if self._thread is not None or not self._waiting:
            return
        work, name = self._waiting.popleft()

        def run() -> None:
            self._finish = work()

        # A daemon: a model that takes for ever must not keep the process from ending.
        sys.setswitchinterval(SHORTLY_S)
        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._thread.start()


def _raising(error: Exception) -> Callable[[], None]:
    def finish() -> None:
        raise error

    return finish
