"""The event queue in memory: bounded, counted, and gone with the process.

It keeps the contract of `ports.Outbox` but for durability: an event that was decided is here before it is sent and
leaves when the broker acknowledged it, or when `max_rows` newer ones pushed it out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from edged.core.types import Decision, Event
from edged.ports import Clock, OutboxCounts


class Numbering(Protocol):
    """Gives events their identity, see `edges/identity.py`."""

    log: str
    last_seq: int

    def stamp(self, decision: Decision) -> Event:
        """The next event."""


class MemoryOutbox:
    """A bounded queue of events, oldest first.

    Args:
        numbering: gives events their identity.
        max_rows: how many unacknowledged events are kept; the oldest goes first.
    """

    def __init__(self, numbering: Numbering, clock: Clock, max_rows: int) -> None:
        self._numbering = numbering
        self._clock = clock
        self._max_rows = max_rows
        self._waiting: OrderedDict[int, Event] = OrderedDict()
        self._flying: dict[int, Event] = {}
        self._dropped = 0
        self.log = numbering.log
        self.acknowledged = 0

    def append(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        """Gives each decision that is an event its identity and keeps it."""
        if not decisions:
            return ()
        events = [self._numbering.stamp(decision) for decision in decisions if decision.event_type is not None]
        for event in events:
            self._waiting[event.seq] = event
        while len(self._waiting) + len(self._flying) > self._max_rows and self._waiting:
            self._waiting.popitem(last=False)
            self._dropped += 1
        return events

    def next(self) -> Event | None:
        """The oldest event that waits, now in flight."""
        if not self._waiting:
            return None
        seq, event = self._waiting.popitem(last=False)
        self._flying[seq] = event
        return event

    def acknowledge(self, seq: int) -> None:
        """The broker has it. An event that is not in flight (any more) is nothing to forget."""
        if self._flying.pop(seq, None) is not None:
            self.acknowledged += 1

    def release(self, seq: int | None = None) -> None:
        """That event, or every event in flight, waits again, in the order of `seq`."""
        back = [seq] if seq is not None else list(self._flying)
        for one in back:
            event = self._flying.pop(one, None)
            if event is not None:
                self._waiting[one] = event
        for one in sorted(self._waiting):
            self._waiting.move_to_end(one)

    def counts(self) -> OutboxCounts:
        """What waits or is in flight; `bytes` counts nothing here, since nothing is serialized yet."""
        rows = len(self._waiting) + len(self._flying)
        seqs = [*self._flying, *self._waiting]
        oldest = min((event.decision.t_s for event in (*self._flying.values(), *self._waiting.values())), default=None)
        age_ms = None if oldest is None else self._clock.age_ms(oldest)
        return OutboxCounts(
            rows=rows,
            bytes=None,
            oldest_s=None if age_ms is None else age_ms / 1000,
            dropped=self._dropped,
            first_seq=min(seqs, default=None),
            last_seq=self._numbering.last_seq or None,
        )
