"""What makes an event one event: an id, a number within a log, and the times that a person reads."""

from __future__ import annotations

import os
import time

from edged.core.types import Decision, Event
from edged.ports import Clock

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """A ULID: 48 bits of milliseconds and 80 random ones in Crockford's base 32, 26 characters that sort by time.

    The format is https://github.com/ulid/spec. Ids of one millisecond sort by chance: `seq` is the order.
    """
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -5, -5))


class Numbering:
    """Turns decisions into events, numbered without gaps from 1 on.

    Args:
        log: the id of the store that numbers.
        model: "name@" and the first eight characters of its hash.

    Attributes:
        model: of the next events; another one may take over.
        last_seq: the number of the last one.
    """

    def __init__(self, clock: Clock, log: str, boot_id: str, model: str) -> None:
        self._clock = clock
        self._boot_id = boot_id
        self.model = model
        self.log = log
        self.last_seq = 0

    def stamp(self, decision: Decision) -> Event:
        """The next event; its age is measured now."""
        assert decision.event_type is not None
        assert decision.start_t_s is not None
        self.last_seq += 1
        return Event(
            id=new_id(),
            seq=self.last_seq,
            log=self.log,
            boot_id=self._boot_id,
            event_type=decision.event_type,
            rule=decision.rule.name,
            label=decision.rule.label,
            region=decision.rule.region,
            score=decision.score,
            peak_score=decision.peak_score,
            time=self._clock.label(decision.t_s),
            start_time=self._clock.label(decision.start_t_s),
            duration_s=decision.duration_s,
            reason=decision.reason,
            frame_age_ms=self._clock.age_ms(decision.t_s),
            model=self.model,
            t_s=decision.t_s,
            start_t_s=decision.start_t_s,
        )
