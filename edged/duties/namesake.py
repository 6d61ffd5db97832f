"""Another board with this device's name: found out, said, and not fought over.

Two clients of one name throw each other off the broker for ever, once a second, and brokers do not say why (Mosquitto
2.0 only closes the socket). So there are two signs: the description that lies retained under the name was made by
another board, or a connection that was good is taken away three times within a minute.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable

from edged.core.problems import Problems
from edged.ports import Clock, Disconnected, Received

TIMES, WITHIN_S = 3, 60.0
WAIT_S = 60.0
QUIET_S = 180.0
"""So long without a sign, and the problem is over."""

log = logging.getLogger("edged.namesake")


def board_of(payload: bytes) -> str | None:
    """Which board a description, `D/info`, is of; None for what is none."""
    try:
        board = json.loads(payload)["board"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return board if isinstance(board, str) else None


class Namesake:
    """Watches for another board of the same name.

    Args:
        topic: of the description.
        board: the id of this board, as the description has it.
        stay_away: gives the connection up for so many seconds.
    """

    def __init__(
        self, topic: str, board: str, clock: Clock, problems: Problems, stay_away: Callable[[str, float], None]
    ) -> None:
        self._topic, self._board, self._clock, self._problems = topic, board, clock, problems
        self._stay_away = stay_away
        self._taken_s: deque[float] = deque(maxlen=TIMES)
        self._sign_s: float | None = None
        self._described = False

    def received(self, message: Received) -> None:
        """A description under this device's name: whose is it?"""
        if message.topic != self._topic:
            return
        board = board_of(message.payload)
        if board == self._board:
            self._described = True
        elif self._described and board is not None:
            # Before this board's own description came back, what lies there may be that of a board it replaced.
            self._found("another board describes itself under this device's name")

    def lost(self, notice: Disconnected) -> None:
        """A connection ended."""
        self._described = False
        if not notice.taken:
            return
        now_s = self._clock.monotonic()
        self._taken_s.append(now_s)
        if len(self._taken_s) == TIMES and now_s - self._taken_s[0] <= WITHIN_S:
            self._taken_s.clear()
            self._found("the connection was taken away three times in a minute")

    def turn(self) -> None:
        """Ends the problem when there has been no sign of it for a while."""
        if self._sign_s is not None and self._clock.monotonic() - self._sign_s > QUIET_S:
            self._sign_s = None
            self._problems.set("name_in_use", None, self._clock.monotonic())

    def _found(self, sign: str) -> None:
        now_s = self._clock.monotonic()
        self._sign_s = now_s
        text = f"{sign}: is the name in use by another board? Give each its own [device] name"
        if self._problems.set("name_in_use", text, now_s):
            log.warning("%s", text)
        self._stay_away(text, WAIT_S)
