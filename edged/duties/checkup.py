"""How the board and the process are, looked at every few seconds: problems, and the end before memory runs out.

systemd's MemoryMax does not kill a process whose memory is mostly mapped files, and Raspberry Pi OS has the memory
cgroup off: so a leak would push the whole board into swapping, or the kernel into killing something else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from edged.core.condition import Condition, complaints, exhausted
from edged.core.problems import Problems
from edged.ports import Clock, RunError

PERIOD_S = 5.0
HOLD_S = 60.0
"""So long a problem stays open after it was last seen: a supply that is weak now and then is one problem, not many."""

log = logging.getLogger("edged.checkup")


class Checkup:
    """Done a little at each turn.

    Args:
        look: the figures of now.
    """

    def __init__(self, clock: Clock, problems: Problems, look: Callable[[], Condition]) -> None:
        self._clock, self._problems, self._look = clock, problems, look
        self._next_s = clock.monotonic()
        self._seen_s: dict[str, float] = {}  # when each open problem was last seen

    def turn(self) -> None:
        """Looks when it is time.

        Raises:
            RunError: the process takes too much memory; only a new one can mend that.
        """
        now_s = self._clock.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + PERIOD_S
        condition = self._look()
        reason = exhausted(condition)
        if reason is not None:
            raise RunError(reason)
        for code, text in complaints(condition).items():
            if self._problems.set(code, text, now_s) and code not in self._seen_s:
                log.warning("%s", text)
            self._seen_s[code] = now_s
        for code in [code for code, seen_s in self._seen_s.items() if now_s - seen_s >= HOLD_S]:
            del self._seen_s[code]
            self._problems.set(code, None, now_s)
