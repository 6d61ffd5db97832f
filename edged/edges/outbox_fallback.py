"""The event queue that never stops: on the disk where it can be, else a ring in memory with a log of its own.

Law: nothing of the disk reaches the loop as an exception. What is wrong with it is said in `problems`; the disk is
tried again every minute, a damaged database is put aside as evidence and replaced. An answer goes to the store whose
`log` its event carries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from edged.core.types import Decision, Event
from edged.edges.identity import Numbering, new_id
from edged.edges.outbox import SETTLE_S, SqliteOutbox
from edged.edges.outbox_memory import MemoryOutbox
from edged.edges.outbox_place import StoreForeign
from edged.edges.outbox_rows import corrected, is_trusted
from edged.edges.outbox_schema import StoreDamaged, StoreUnusable, put_aside
from edged.ports import Clock, OutboxCounts

RING_ROWS = 1000
RETRY_S = 60.0

DAMAGED, DISK = "outbox_damaged", "outbox_disk"

log = logging.getLogger("edged.outbox")

_T = TypeVar("_T")


class DurableOutbox:
    """What the app uses as its `ports.Outbox`. Arguments as of `SqliteOutbox`.

    Args:
        stored: told of every event when it has its number and is kept, on the disk or in the ring.

    Attributes:
        log: the id of the store that numbers now; it changes when the disk fails or is back.
        problems: what is wrong, one sentence a code: `outbox_damaged` (until the process ends), `outbox_disk`.
        numbered: how many events got a number since the start.

    Raises:
        StoreForeign: the file is from a newer edged, or from another program. Only ever at the start.
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
        stored: Callable[[Sequence[Event]], None] | None = None,
    ) -> None:
        def open_store() -> SqliteOutbox:
            return SqliteOutbox(
                path,
                clock,
                boot_id,
                self._model,
                max_rows=max_rows,
                max_bytes=max_bytes,
                max_age_s=max_age_s,
                keep_delivered_s=keep_delivered_s,
                settle_s=settle_s,
            )

        self._path, self._clock, self._boot_id, self._open_store = path, clock, boot_id, open_store
        self._model = model
        self._stored = stored
        self._ring_numbering = Numbering(clock, new_id(), boot_id, model)
        self._ring = MemoryOutbox(self._ring_numbering, clock, RING_ROWS)
        self._store: SqliteOutbox | None = None
        self._remains: list[SqliteOutbox] = []  # damaged ones, until what they have in memory is answered
        self._acknowledged_there = 0
        self._is_on_disk, self._is_readable = False, True
        self._owes_close = False
        self._open: dict[str, Event] = {}  # starts without an end, by rule, wherever they are stored
        self._offset_s: float | None = None
        self._retry_at_s = clock.monotonic()
        self.problems: dict[str, str] = {}
        self.numbered = 0
        self.log = self._ring.log
        self._guarded(self._open_at_start)

    @property
    def acknowledged(self) -> int:
        """How many events the broker took since the start."""
        return self._acknowledged_there + sum(box.acknowledged for box in self._boxes())

    def use_model(self, model: str) -> None:
        """The next events are of another model."""
        self._model = self._ring_numbering.model = model
        if self._store:
            self._store.use_model(model)

    def append(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        """Numbers and keeps events: on the disk when it returns, or in the ring where the disk does not take them."""
        if not self._is_on_disk and self._clock.monotonic() >= self._retry_at_s:
            self._guarded(self._return_to_disk)
        events: Sequence[Event] | None = None
        for _ in range(2):  # a new store may take the place of a damaged one
            if events is None and self._store and self._is_on_disk:
                events = self._guarded(partial(self._store.append, decisions))
        if events is None:
            events = self._ring.append(decisions)
        self._follow(events)
        return events

    def next(self, *, live: bool) -> Event | None:
        """The oldest waiting event that is live (or: late), now in flight: from elsewhere before from the disk."""
        for box in self._boxes():
            if box is self._store and not live and not self._is_readable:
                continue
            event = self._guarded(partial(box.next, live=live), reading=True)
            if event is not None:
                return event if self._offset_s is None else corrected(event, self._boot_id, self._offset_s)
        return None

    def acknowledge(self, event: Event) -> None:
        """The broker has it."""
        for box in self._boxes(event.log):
            self._guarded(partial(box.acknowledge, event))
        self._bury()

    def refuse(self, event: Event) -> None:
        """The broker will never take it."""
        for box in self._boxes(event.log):
            self._guarded(partial(box.refuse, event))
        self._bury()

    def release(self, event: Event | None = None) -> None:
        """That event, or every event in flight, waits again."""
        for box in self._boxes(event.log if event else None):
            box.release(event)

    def replay(self, from_seq: int) -> tuple[int, int, int] | None:
        """What is kept of the present log from that number on waits again, as late; None for nothing."""
        if self._store and self._is_on_disk:
            return self._guarded(partial(self._store.replay, from_seq))
        return self._ring.replay(from_seq)

    def counts(self) -> OutboxCounts:
        """What the broker has not taken yet, wherever it is; `first_seq` and `last_seq` are of the present log."""
        ring, store = self._ring.counts(), None
        if self._store and self._is_readable:
            store = self._guarded(self._store.counts, reading=True)
        present = store if store and self._is_on_disk else ring
        ages_s = [counts.oldest_s for counts in (ring, store) if counts and counts.oldest_s is not None]
        return OutboxCounts(
            rows=ring.rows + (store.rows if store else 0) + sum(box.in_memory for box in self._remains),
            bytes=store.bytes if store else None,
            oldest_s=max(ages_s, default=None),
            dropped=ring.dropped + (store.dropped if store else 0),
            first_seq=present.first_seq,
            last_seq=present.last_seq,
            set_aside=ring.set_aside + (store.set_aside if store else 0),
        )

    def close_open(self, reason: str = "daemon_restarted") -> Sequence[Event]:
        """Ends what an earlier process left open, once at the start. Without a disk: as soon as there is one."""
        events: Sequence[Event] | None = None
        if self._store and self._is_on_disk:
            events = self._guarded(partial(self._store.close_open, reason))
        self._owes_close = events is None and not self._is_on_disk
        self._follow(events or ())
        return events or ()

    def correct_clock(self) -> int:
        """Gives the events of this boot the times of a clock that is synced by now, see `SqliteOutbox`."""
        zero = self._clock.label(0.0)
        if is_trusted(zero):
            self._offset_s = zero.utc_s
        if not (self._store and self._is_on_disk):
            return 0
        return self._guarded(self._store.correct_clock) or 0

    def close(self) -> None:
        """Stores what was settled and lets go of the file."""
        if self._store:
            self._guarded(self._store.close)

    def _boxes(self, log_id: str | None = None) -> list[SqliteOutbox | MemoryOutbox]:
        """Every store, or the one of a log."""
        boxes: list[SqliteOutbox | MemoryOutbox] = [*self._remains, self._ring, *([self._store] if self._store else [])]
        return boxes if log_id is None else [box for box in boxes if box.log == log_id]

    def _tell(self, events: Sequence[Event]) -> None:
        self.numbered += len(events)
        if self._stored is not None and events:
            self._stored(events)

    def _follow(self, events: Sequence[Event]) -> None:
        self._tell(events)
        for event in events:
            if event.event_type == "start":
                self._open[event.rule] = event
            else:
                self._open.pop(event.rule, None)

    def _bury(self) -> None:
        """Forgets damaged stores of which nothing is left."""
        for box in [box for box in self._remains if not box.in_memory]:
            self._acknowledged_there += box.acknowledged
            self._remains.remove(box)

    def _guarded(self, action: Callable[[], _T], *, reading: bool = False) -> _T | None:
        """What the action gives; None where the disk would not, which is mended or worked around by then."""
        try:
            return action()
        except StoreUnusable as error:
            self._is_readable = self._is_readable and not reading
            self._fall_back(str(error))
        except StoreDamaged as error:
            self._replace(str(error))
        return None

    def _open_at_start(self) -> None:
        self._store = self._open_store()
        self._settle_in()

    def _return_to_disk(self) -> None:
        """Tries the disk again; what happened meanwhile is in the ring and leaves from there."""
        if self._store is None:
            try:
                self._store = self._open_store()
            except StoreForeign as error:
                self._fall_back(str(error))
                return
        if self._owes_close:
            self._tell(self._store.close_open())
            self._owes_close = False
        self._store.flush()
        self._store.set_open(self._open.values())
        self._settle_in()

    def _settle_in(self) -> None:
        assert self._store is not None
        self._store.correct_clock()
        self._is_on_disk = self._is_readable = True
        self.log = self._store.log
        if self.problems.pop(DISK, None):
            log.info("events are stored on the disk again")

    def _fall_back(self, reason: str) -> None:
        now_s = self._clock.monotonic()
        if self._is_on_disk or now_s >= self._retry_at_s:
            self._retry_at_s = now_s + RETRY_S
        self._is_on_disk, self.log = False, self._ring.log
        text = f"events cannot be stored: {reason}; the newest {RING_ROWS} are kept in memory, trying again"
        if self.problems.get(DISK) != text:
            self.problems[DISK] = text
            log.warning("%s: %s", self._path, text)

    def _replace(self, reason: str) -> None:
        """Puts the damaged file aside and begins a new one."""
        if self._store:
            self._store.abandon()
            self._remains.append(self._store)
            self._bury()
        self._store, self._is_on_disk, self.log = None, False, self._ring.log
        try:
            name = put_aside(self._path, self._clock.label(self._clock.monotonic()).utc_s)
            text = f"the event store was damaged; it is kept as {name}, and a new one with a new log took its place"
            self.problems[DAMAGED] = text
            log.warning("%s: %s (%s)", self._path, text, reason)
            self._owes_close = False  # what was open is not known any more
            self._return_to_disk()
        except (StoreUnusable, StoreDamaged) as error:
            self._fall_back(str(error))
