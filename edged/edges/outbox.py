"""The event queue on the disk: nothing is sent before it is stored, and one transaction a turn stores it.

Law: the loop's thread alone comes here. What is in flight, and what a replay asked for, is memory's alone: after a
crash the one waits again and the other is forgotten, so a delete lost to a power cut is a repeat with the same id.
Rows and SQL are `outbox_table.py`'s, the order of delivery is `outbox_queue.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from edged.core.types import Decision, Event, Rule
from edged.edges import outbox_rows as rows
from edged.edges.identity import Numbering
from edged.edges.outbox_queue import Queue
from edged.edges.outbox_table import DELIVERED, SET_ASIDE, Bounds, EventTable
from edged.ports import Clock, OutboxCounts

AGES_CHECKED_EACH_S = 600.0
"""What is too old leaves in one transaction with others."""
SETTLE_S, SETTLED_ROWS = 120.0, 64
"""So long, and so many, answers wait for the transaction of the next event: a transaction of their own wears the card
half as much again. If the power goes meanwhile, those events are sent once more."""


class SqliteOutbox:
    """The durable queue. Everything here may raise StoreDamaged or StoreUnusable; then nothing has changed.

    Args:
        path: of the database; its folder is made.
        boot_id: tells whose monotonic seconds those of a row are.
        model: "name@" and the first eight characters of its hash.
        max_rows, max_bytes, max_age_s: the bounds of all that is kept.
        keep_delivered_s: how long an event is kept for a replay after the broker took it.
        settle_s: how long an answer waits for the next event to be stored with it.

    Attributes:
        log: the id of this store, new with a new file.
        acknowledged: how many events the broker took since the start.

    Raises:
        StoreForeign: the file is from a newer edged, or from another program.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        boot_id: str,
        model: str,
        *,
        max_rows: int,
        max_bytes: int,
        max_age_s: float,
        keep_delivered_s: float,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._clock, self._boot_id, self._settle_s = clock, boot_id, settle_s
        self._table = EventTable(path, clock, Bounds(max_rows, max_bytes, max_age_s, keep_delivered_s))
        self.log = self._table.log
        self.acknowledged = 0
        self._numbering = Numbering(clock, self.log, boot_id, model)
        self._numbering.last_seq = self._table.tally.last_seq
        self._queue = Queue(clock, self._table.late)
        self._settled: dict[int, int] = {}  # the new states of rows that the disk still takes for waiting
        self._settled_bytes = 0
        self._settled_since_s = 0.0
        self._ends: tuple[float | None, int | None] | None = None
        self._has_repeats = self._has_backlog = self._is_abandoned = False
        self._ages_due_s = clock.monotonic()

    def use_model(self, model: str) -> None:
        """The next events are of another model."""
        self._numbering.model = model

    @property
    def set_aside(self) -> int:
        """How many events the broker refused for good, since the log began."""
        return self._table.tally.set_aside + sum(state == SET_ASIDE for state in self._settled.values())

    @property
    def in_memory(self) -> int:
        """How many events can be handed out or answered without the file."""
        return self._queue.held

    def append(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        """Numbers and stores events, and with them what was settled; that alone after `settle_s`, or if it is much."""
        wanted = [decision for decision in decisions if decision.event_type is not None]
        is_overdue = self._is_overdue()
        if not wanted and not is_overdue and not self._owes_settled():
            return ()
        return self._store(lambda: [self._numbering.stamp(decision) for decision in wanted], is_overdue)

    def flush(self) -> None:
        """Stores what was settled; proves that the disk takes something."""
        self._store(lambda: ())

    def next(self, *, live: bool) -> Event | None:
        """The oldest waiting event that is live (or: late), now in flight. Live: young, and of this process."""
        event = self._queue.next(live=live)
        self._has_backlog |= event is not None and not live
        return event

    def acknowledge(self, event: Event) -> None:
        """The broker has it."""
        if self._land(event, DELIVERED):
            self.acknowledged += 1

    def refuse(self, event: Event) -> None:
        """The broker will never take it."""
        self._land(event, SET_ASIDE)

    def release(self, event: Event | None = None) -> None:
        """That event, or every event in flight, waits again."""
        self._queue.release(event)

    def replay(self, from_seq: int) -> tuple[int, int, int] | None:
        """What is kept from that number on waits again, as late; what waits anyway goes its own way.

        Nothing changes on the disk: a crash ends the replay, never the delivery. What was set aside is tried again.
        """
        self.flush()
        from_seq = min(max(from_seq, 0), self._table.tally.last_seq + 1)  # a number from outside has no bound
        kept = self._table.ask_again(from_seq)
        if kept is not None:
            self._has_repeats = True
            self._queue.rewind(from_seq)
        return kept

    def counts(self) -> OutboxCounts:
        """What the broker has not taken yet. A repeat is not counted: it has that."""
        if self._ends is None:
            self._ends = self._table.ends(self._settled)
        since_s, first_seq = self._ends
        tally = self._table.tally
        return OutboxCounts(
            rows=tally.waiting - len(self._settled),
            bytes=tally.waiting_bytes - self._settled_bytes,
            oldest_s=None if since_s is None else max(0.0, self._table.age_s() - since_s),
            dropped=tally.dropped,
            first_seq=first_seq,
            last_seq=tally.last_seq or None,
            set_aside=self.set_aside,
        )

    def close_open(self, reason: str = "daemon_restarted") -> Sequence[Event]:
        """Ends what an earlier process left open, once at the start: one event each, in one transaction."""
        starts = self._table.open_episodes()
        return self._store(lambda: [self._end(start, reason) for start in starts]) if starts else ()

    def set_open(self, starts: Iterable[Event]) -> None:
        """These episodes are open and no others, wherever their events are."""
        self._table.set_open(starts)

    def correct_clock(self) -> int:
        """Gives the events of this boot the times of a clock that is synced by now: how many there were.

        To be called at the start and when the clock becomes synced. Events of earlier boots stay as they are.
        """
        zero = self._clock.label(0.0)
        if not rows.is_trusted(zero):
            return 0
        count = self._table.correct(self._boot_id, zero.utc_s)
        self._queue.change(lambda event: rows.corrected(event, self._boot_id, zero.utc_s))
        return count

    def abandon(self) -> None:
        """Lets go of the file. What is in memory can still be handed out and answered; nothing is stored any more."""
        self._is_abandoned = True
        self._queue.detach()
        self._table.close()

    def close(self) -> None:
        """Stores what was settled and lets go of the file."""
        try:
            if self._settled:
                self.flush()
        finally:
            self._table.close()

    def _store(self, make: Callable[[], Sequence[Event]], is_overdue: bool = False) -> Sequence[Event]:
        """Numbers events and stores them; a number that was not stored is given again, so there is no gap."""
        before = self._numbering.last_seq
        try:
            events = make()
            gone = self._table.write(events, self._settled, self._queue.is_flying, is_overdue=is_overdue)
        except BaseException:
            self._numbering.last_seq = before
            raise
        self._settled.clear()
        self._settled_bytes, self._ends = 0, None
        self._queue.append(events)
        self._queue.drop(gone)
        if self._has_backlog and not self._table.tally.waiting:
            self._has_backlog = False
            self._table.shrink()
        return events

    def _land(self, event: Event, state: int) -> bool:
        """An answer came; False for an event that was not in flight (any more)."""
        if not self._queue.land(event.seq):
            return False
        is_repeat = self._has_repeats and self._table.forget_again(event.seq)
        if not is_repeat and not self._is_abandoned:
            if not self._settled:
                self._settled_since_s = self._clock.monotonic()
            self._settled[event.seq] = state
            self._settled_bytes += rows.size_bytes(event)
            self._ends = None
        return True

    def _owes_settled(self) -> bool:
        if not self._settled:
            return False
        return len(self._settled) >= SETTLED_ROWS or self._clock.monotonic() >= self._settled_since_s + self._settle_s

    def _is_overdue(self) -> bool:
        now_s = self._clock.monotonic()
        if now_s < self._ages_due_s:
            return False
        self._ages_due_s = now_s + AGES_CHECKED_EACH_S
        return self._table.is_overdue()

    def _end(self, start: Event, reason: str) -> Event:
        """The end of an episode whose process is gone, now."""
        t_s = self._clock.monotonic()
        now = self._clock.label(t_s)
        is_of_this_boot = start.boot_id == self._boot_id
        age_ms = self._clock.age_ms(start.start_t_s) if is_of_this_boot else None
        duration_s = None if age_ms is None else age_ms / 1000
        if duration_s is None and rows.is_trusted(now) and rows.is_trusted(start.start_time):
            duration_s = max(0.0, now.utc_s - start.start_time.utc_s)
        start_t_s = start.start_t_s
        if not is_of_this_boot:
            start_t_s = rows.BEFORE_THIS_BOOT if duration_s is None else t_s - duration_s
        # The rule may be gone from the configuration; its thresholds are of no interest any more.
        rule = Rule(start.rule, start.rule, start.label, start.region, 1.0, 1.0, 0.0, 0.0, 0.0)
        stamped = self._numbering.stamp(
            Decision(rule, t_s, "unknown", None, "end", start.peak_score, t_s, duration_s, reason)
        )
        return replace(stamped, start_time=start.start_time, start_t_s=start_t_s, frame_age_ms=None, model=start.model)
