"""What has to be looked after while the loop turns: the clock that becomes right, and what ails the outbox."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from edged.core.problems import Problems
from edged.ports import Clock, OutboxCounts

PERIOD_S = 5.0

log = logging.getLogger("edged.upkeep")


class Ailing(Protocol):
    """An outbox that says what is wrong with it.

    Attributes:
        log: the id of the store that numbers now.
        problems: one sentence a code.
    """

    log: str
    problems: dict[str, str]

    def counts(self) -> OutboxCounts:
        """What waits, and what was dropped."""

    def correct_clock(self) -> int:
        """Gives events that were made under a wrong clock their right times; how many those were."""


class Upkeep:
    """Done a little at each turn.

    Args:
        describe_anew: has the description retained again: it names the log.
    """

    def __init__(self, clock: Clock, problems: Problems, outbox: Ailing, describe_anew: Callable[[], None]) -> None:
        self._clock, self._problems, self._outbox = clock, problems, outbox
        self._describe_anew = describe_anew
        self._synced = clock.is_synced()
        self._log = outbox.log
        self._dropped = outbox.counts().dropped
        self._look_at_s = clock.monotonic() + PERIOD_S
        self._told: set[str] = set()

    def turn(self) -> None:
        """Looks at what changes seldom, now and then; at what is wrong with the outbox, at once."""
        self._tell(self._outbox.problems)
        if self._outbox.log != self._log:
            self._log = self._outbox.log
            self._dropped = self._outbox.counts().dropped
            self._describe_anew()
        if self._clock.monotonic() >= self._look_at_s:
            self._look_at_s = self._clock.monotonic() + PERIOD_S
            self._look_at_clock()
            self._look_at_bounds()

    def _tell(self, problems: Mapping[str, str]) -> None:
        if not problems and not self._told:
            return
        now_s = self._clock.monotonic()
        for code in self._told - set(problems):
            self._problems.set(code, None, now_s)
        for code, text in problems.items():
            self._problems.set(code, text, now_s)  # the outbox has logged it, with its path
        self._told = set(problems)

    def _look_at_clock(self) -> None:
        synced = self._clock.is_synced()
        if synced and not self._synced:
            log.info("the clock is set now; %d events got their right times", self._outbox.correct_clock())
        self._synced = synced

    def _look_at_bounds(self) -> None:
        counts = self._outbox.counts()
        if counts.dropped > self._dropped:
            self._dropped = counts.dropped
            text = "the broker is away for so long that the oldest events are dropped; `outbox.dropped` counts them"
            if self._problems.set("outbox_full", text, self._clock.monotonic()):
                log.warning("%s", text)
        elif not counts.rows:
            self._problems.set("outbox_full", None, self._clock.monotonic())
