"""What has to be looked after while the loop turns: the clock that becomes right, and what ails the outbox."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from edged.core.problems import Problems
from edged.ports import Clock

CLOCK_PERIOD_S = 5.0
OUTBOX_CODES = ("outbox_damaged", "outbox_disk", "outbox_full")

log = logging.getLogger("edged.upkeep")


class Upkeep:
    """Done a little at each turn.

    Args:
        correct_clock: gives events that were made under a wrong clock their right times; how many those were.
        ailments: what is wrong with the outbox now, one sentence a code.
    """

    def __init__(
        self,
        clock: Clock,
        problems: Problems,
        correct_clock: Callable[[], int],
        ailments: Callable[[], Mapping[str, str]],
    ) -> None:
        self._clock, self._problems = clock, problems
        self._correct_clock, self._ailments = correct_clock, ailments
        self._synced = clock.is_synced()
        self._look_at_s = clock.monotonic()

    def turn(self) -> None:
        """Looks at the outbox, and now and then at the clock."""
        now_s = self._clock.monotonic()
        ailments = self._ailments()
        for code in OUTBOX_CODES:
            if self._problems.set(code, ailments.get(code), now_s) and code in ailments:
                log.warning("%s", ailments[code])
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + CLOCK_PERIOD_S
            self._look_at_clock()

    def _look_at_clock(self) -> None:
        synced = self._clock.is_synced()
        if synced and not self._synced:
            count = self._correct_clock()
            log.info("the clock is set now; %d events got their right times", count)
        self._synced = synced
