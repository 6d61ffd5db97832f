"""The event queue in memory: bounded, counted, and gone with the process.

It keeps the contract of `ports.Outbox` but for durability: an event that was decided is here before it is sent and
leaves when the broker acknowledged it, or when `max_rows` newer ones pushed it out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from edged.core.types import Decision, Event
from edged.core.wire import LIVE_AGE_S
from edged.ports import Clock, OutboxCounts


class Numbering(Protocol):
    """Gives events their identity, see `edges/identity.py`."""

    log: str
    last_seq: int

    def stamp(self, decision: Decision) -> Event:
        """The next event."""


class MemoryOutbox:
    """A bounded queue of events, oldest first. Nothing is kept once it is acknowledged.

    Args:
        numbering: gives events their identity.
        max_rows: how many events are kept; the oldest goes first.
    """

    def __init__(self, numbering: Numbering, clock: Clock, max_rows: int) -> None:
        self._numbering = numbering
        self._clock = clock
        self._max_rows = max_rows
        self._live: OrderedDict[int, Event] = OrderedDict()
        self._late: OrderedDict[int, Event] = OrderedDict()
        self._flying: dict[int, Event] = {}
        self._dropped = self._set_aside = 0
        self.log = numbering.log
        self.acknowledged = 0

    def append(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        """Gives each decision that is an event its identity and keeps it."""
        if not decisions:
            return ()
        events = [self._numbering.stamp(decision) for decision in decisions if decision.event_type is not None]
        for event in events:
            self._live[event.seq] = event
        while len(self._live) + len(self._late) + len(self._flying) > self._max_rows and (self._late or self._live):
            (self._late or self._live).popitem(last=False)
            self._dropped += 1
        return events

    def next(self, *, live: bool) -> Event | None:
        """The oldest waiting event that is live (or: late), now in flight."""
        self._age()
        waiting = self._live if live else self._late
        if not waiting:
            return None
        seq, event = waiting.popitem(last=False)
        self._flying[seq] = event
        return event

    def acknowledge(self, event: Event) -> None:
        """The broker has it. An event that is not in flight (any more) is nothing to forget."""
        if self._flying.pop(event.seq, None) is not None:
            self.acknowledged += 1

    def refuse(self, event: Event) -> None:
        """The broker will never take it."""
        self._set_aside += self._flying.pop(event.seq, None) is not None

    def release(self, event: Event | None = None) -> None:
        """That event, or every event in flight, waits again, in the order of `seq`."""
        back = [event.seq] if event is not None else list(self._flying)
        for seq in back:
            returned = self._flying.pop(seq, None)
            if returned is not None:
                self._live[seq] = returned
        for seq in sorted(self._live):
            self._live.move_to_end(seq)
        self._age()

    def replay(self, from_seq: int) -> tuple[int, int, int] | None:  # noqa: ARG002
        """None: what was delivered is not kept, and the rest is on its way anyway."""
        return None

    def counts(self) -> OutboxCounts:
        """What waits or is in flight; `bytes` is None, since nothing is serialized yet."""
        held = [*self._flying.values(), *self._late.values(), *self._live.values()]
        oldest_s = min((event.t_s for event in held), default=None)
        age_ms = None if oldest_s is None else self._clock.age_ms(oldest_s)
        return OutboxCounts(
            rows=len(held),
            bytes=None,
            oldest_s=None if age_ms is None else age_ms / 1000,
            dropped=self._dropped,
            first_seq=min((event.seq for event in held), default=None),
            last_seq=self._numbering.last_seq or None,
            set_aside=self._set_aside,
        )

    def _age(self) -> None:
        """What is no longer live becomes late; both stay in the order of `seq`."""
        moved = False
        while self._live:
            seq, event = next(iter(self._live.items()))
            if (self._clock.age_ms(event.t_s) or 0) <= LIVE_AGE_S * 1000:
                break
            self._late[seq] = self._live.pop(seq)
            moved = True
        if moved:
            for seq in sorted(self._late):
                self._late.move_to_end(seq)
