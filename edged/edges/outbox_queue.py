"""What the outbox hands out next: the young in memory, the backlog from the disk in small batches. No SQL, no files.

Law: an event is in one place only: live, read ahead, back from flight, in flight, or on the disk behind the cursor.
Each place is in the order of `seq`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from edged.core.types import Event
from edged.core.wire import LIVE_AGE_S
from edged.ports import Clock

BATCH = 64

Read = Callable[[float, float, int], Sequence[Event]]
"""read(after, before, limit): the first late events on the disk with after < seq < before, in order."""


class Queue:
    """The order of delivery.

    Args:
        read: reads the backlog. It may give what is in flight or answered meanwhile; that is passed over here.
    """

    def __init__(self, clock: Clock, read: Read) -> None:
        self._clock, self._read = clock, read
        self._live: dict[int, Event] = {}
        self._ahead: deque[Event] = deque()
        self._back: dict[int, Event] = {}  # late ones that the cursor has passed
        self._flying: dict[int, tuple[Event, bool]] = {}  # with whether it went as live
        self._answered: set[int] = set()
        self._cursor: float = 0
        self._more = True

    @property
    def held(self) -> int:
        """How many events are in memory."""
        return len(self._live) + len(self._ahead) + len(self._back) + len(self._flying)

    def is_flying(self, seq: int) -> bool:
        """Whether the broker may be about to take it."""
        return seq in self._flying

    def append(self, events: Iterable[Event]) -> None:
        """New events, stored by now. What was answered before is stored, too."""
        self._answered.clear()
        for event in events:
            self._live[event.seq] = event

    def next(self, *, live: bool) -> Event | None:
        """The oldest live (or: late) event, now in flight."""
        self._age()
        if live:
            event = self._live.pop(next(iter(self._live)), None) if self._live else None
        else:
            event = self._late()
        if event is not None:
            self._flying[event.seq] = (event, live)
        return event

    def land(self, seq: int) -> bool:
        """An event in flight has its answer; False where it was not in flight."""
        if self._flying.pop(seq, None) is None:
            return False
        self._answered.add(seq)
        return True

    def release(self, event: Event | None) -> None:
        """That event, or every event in flight, waits again. What went as late comes back as late, however young."""
        for seq in [event.seq] if event is not None else sorted(self._flying):
            landed = self._flying.pop(seq, None)
            if landed is not None:
                returned, was_live = landed
                _insert(self._live if was_live else self._back, returned)
        self._age()

    def rewind(self, from_seq: int) -> None:
        """What is on the disk from that number on is to be read again."""
        self._cursor = min(self._cursor, from_seq - 1, *(event.seq - 1 for event in self._ahead))
        self._ahead.clear()
        self._more = True

    def drop(self, seqs: Iterable[int]) -> None:
        """These are gone from the disk."""
        gone = set(seqs)
        if not gone:
            return
        for place in (self._live, self._back):
            for seq in gone.intersection(place):
                del place[seq]
        if self._ahead and not gone.isdisjoint(event.seq for event in self._ahead):
            self._ahead = deque(event for event in self._ahead if event.seq not in gone)

    def change(self, change: Callable[[Event], Event]) -> None:
        """Replaces every event in memory by what `change` makes of it."""
        self._live = {seq: change(event) for seq, event in self._live.items()}
        self._back = {seq: change(event) for seq, event in self._back.items()}
        self._flying = {seq: (change(event), live) for seq, (event, live) in self._flying.items()}
        self._ahead = deque(map(change, self._ahead))

    def detach(self) -> None:
        """Nothing can be read from the disk any more."""
        self._cursor, self._more = math.inf, False

    def _late(self) -> Event | None:
        self._fill()
        if self._back and not (self._ahead and self._ahead[0].seq < next(iter(self._back))):
            return self._back.pop(next(iter(self._back)))
        return self._ahead.popleft() if self._ahead else None

    def _fill(self) -> None:
        """Reads ahead, but never past what is live: that has its own way out."""
        before = next(iter(self._live), math.inf)
        while self._more and not self._ahead:
            events = self._read(self._cursor, before, BATCH)
            if not events:
                self._more = bool(self._live)
                return
            self._cursor = events[-1].seq
            for event in events:
                if not any(event.seq in place for place in (self._flying, self._back, self._answered)):
                    self._ahead.append(event)

    def _age(self) -> None:
        """What is no longer live is late: on the disk for whoever reads there, or back where the cursor has passed."""
        while self._live:
            seq, event = next(iter(self._live.items()))
            if (self._clock.age_ms(event.t_s) or 0) <= LIVE_AGE_S * 1000:
                return
            del self._live[seq]
            if seq <= self._cursor:
                _insert(self._back, event)
            else:
                self._more = True


def _insert(place: dict[int, Event], event: Event) -> None:
    """Adds an event where its number wants it."""
    last = next(reversed(place), 0)
    place[event.seq] = event
    if event.seq < last:
        for seq in sorted(place):
            place[seq] = place.pop(seq)
