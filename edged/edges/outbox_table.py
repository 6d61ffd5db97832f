"""What the outbox keeps on the disk: rows, their bounds and their counters, changed in one transaction at a time.

Law: SQL about events stands here and nowhere else. A row waits, was delivered (kept for a replay), or is set aside (the
broker will never take it: evidence). Whatever fails leaves tables and counters as they were.

Ages are told by the store's own: the seconds in which a process had it open, by the monotonic clock, and the time
between two processes where the wall clock was synced at both ends. A clock that jumps makes no event old.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edged.core.errors import EdgedError
from edged.core.types import Event
from edged.edges import outbox_rows as rows
from edged.edges.identity import new_id
from edged.edges.outbox_schema import StoreDamaged, named_errors, open_database, transaction
from edged.ports import Clock

WAITING, DELIVERED, SET_ASIDE = 0, 1, 2
PUSHED_OUT = (DELIVERED, SET_ASIDE, WAITING)
"""What leaves first; within each it is the oldest."""

_COLUMNS = ", ".join(("seq", *rows.COLUMNS))
_MARKS = ", ".join("?" * (1 + len(rows.COLUMNS)))
_INSERT = f"INSERT INTO events ({_COLUMNS}, state, since_s, bytes) VALUES ({_MARKS}, {WAITING}, ?, ?)"  # noqa: S608
_OPEN = f"INSERT OR REPLACE INTO open_episodes ({_COLUMNS}) VALUES ({_MARKS})"  # noqa: S608
_LATE = (
    f"SELECT {_COLUMNS} FROM events WHERE seq IN ("  # noqa: S608
    f"SELECT seq FROM events WHERE state = {WAITING} AND seq > :after AND seq < :before"
    " UNION SELECT seq FROM again WHERE seq > :after AND seq < :before ORDER BY seq LIMIT :limit) ORDER BY seq"
)
_IS_SOUND = "state IN (0, 1, 2) AND typeof(since_s) = 'real' AND typeof(bytes) = 'integer' AND bytes > 0"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept, and how long an event after the broker took it."""

    max_rows: int
    max_bytes: int
    max_age_s: float
    keep_delivered_s: float

    def keep_s(self, state: int) -> float:
        """The longest that a row stays in a state."""
        return min(self.max_age_s, self.keep_delivered_s) if state == DELIVERED else self.max_age_s


@dataclass(slots=True)
class Tally:
    """What the tables hold, kept beside them so that nobody has to count."""

    last_seq: int
    dropped: int
    set_aside: int
    rows: int
    bytes: int
    waiting: int
    waiting_bytes: int

    def add(self, seq: int, size_bytes: int) -> None:
        """A new row waits."""
        self.last_seq = seq
        self.rows += 1
        self.bytes += size_bytes
        self.waiting += 1
        self.waiting_bytes += size_bytes

    def settle(self, state: int, size_bytes: int) -> None:
        """A row waits no longer."""
        self.waiting -= 1
        self.waiting_bytes -= size_bytes
        self.set_aside += state == SET_ASIDE

    def push_out(self, state: int, size_bytes: int) -> None:
        """A row is gone."""
        self.rows -= 1
        self.bytes -= size_bytes
        if state == WAITING:
            self.waiting -= 1
            self.waiting_bytes -= size_bytes
            self.dropped += 1


class EventTable:
    """The tables of one store. Everything may raise StoreDamaged or StoreUnusable; then nothing has changed.

    Attributes:
        log: the id of the store, new with a new file.
        tally: what is in it.

    Raises:
        StoreForeign: the file is from a newer edged, or from another program.
    """

    def __init__(self, path: Path, clock: Clock, bounds: Bounds) -> None:
        self._clock, self._bounds = clock, bounds
        self._started_s, self._age0_s = clock.monotonic(), 0.0
        self._db = open_database(path)
        try:
            with named_errors():
                self.log, self.tally = self._load()
        except BaseException:
            self._db.close()
            raise

    def age_s(self) -> float:
        """The store's own age now, see above."""
        return self._age0_s + self._clock.monotonic() - self._started_s

    def write(
        self, events: Sequence[Event], settled: Mapping[int, int], is_flying: Callable[[int], bool], *, is_overdue: bool
    ) -> Sequence[int]:
        """One transaction: new rows, the new states of old ones, and what the bounds push out.

        Args:
            settled: the new state of waiting rows by number.
            is_flying: such a row is not pushed out: the broker may be about to take it.
            is_overdue: whether ages are to be looked at, too.

        Returns:
            The numbers of the rows that are gone.
        """
        age_s, tally = self.age_s(), replace(self.tally)
        with named_errors(), transaction(self._db):
            self._insert(events, age_s, tally)
            for seq, state in settled.items():
                sql = "UPDATE events SET state = ?, since_s = ? WHERE seq = ? RETURNING bytes"
                (size_bytes,) = self._db.execute(sql, (state, age_s, seq)).fetchone()
                tally.settle(state, size_bytes)
            gone = []
            if is_overdue or self._is_over(tally):
                gone = list(self._trim(age_s, tally, is_flying))
                self._db.executemany("DELETE FROM events WHERE seq = ?", gone)
            now = self._clock.label(self._clock.monotonic())
            self._db.execute(
                "UPDATE store SET last_seq = ?, dropped = ?, set_aside = ?, age_s = ?, utc_s = ?, clock = ?",
                (tally.last_seq, tally.dropped, tally.set_aside, age_s, now.utc_s, now.clock),
            )
        self.tally = tally
        return [seq for (seq,) in gone]

    def late(self, after: float, before: float, limit: int) -> Sequence[Event]:
        """The first waiting or asked-for rows with after < seq < before, in order."""
        places = {"after": after, "before": self.tally.last_seq + 1 if before == math.inf else before, "limit": limit}
        with named_errors():
            return [rows.event(self.log, row) for row in self._db.execute(_LATE, places)]

    def ask_again(self, from_seq: int) -> tuple[int, int, int] | None:
        """Rows from that number on that wait no longer are late again: first, last and count of all that is kept."""
        with named_errors():
            sql = "SELECT min(seq), max(seq), count(*) FROM events WHERE seq >= ?"
            first, last, count = self._db.execute(sql, (from_seq,)).fetchone()
            sql = f"INSERT OR IGNORE INTO again SELECT seq FROM events WHERE seq >= ? AND state <> {WAITING}"  # noqa: S608
            self._db.execute(sql, (from_seq,))
        return (first, last, count) if count else None

    def forget_again(self, seq: int) -> bool:
        """Whether that was asked for; it is no longer."""
        with named_errors():
            return self._db.execute("DELETE FROM again WHERE seq = ?", (seq,)).rowcount > 0

    def ends(self, settled: Container[int]) -> tuple[float | None, int | None]:
        """Since when the oldest row waits, by the store's age, and the oldest number that is kept.

        Args:
            settled: waiting rows that wait no longer.
        """
        with named_errors():
            sql = f"SELECT seq, since_s FROM events WHERE state = {WAITING} ORDER BY seq"  # noqa: S608
            since_s = next((since_s for seq, since_s in self._db.execute(sql) if seq not in settled), None)
            (first_seq,) = self._db.execute("SELECT min(seq) FROM events").fetchone()
        return since_s, first_seq

    def is_overdue(self) -> bool:
        """Whether a row is older than it may become."""
        age_s = self.age_s()
        with named_errors():
            sql = "SELECT since_s FROM events WHERE state = ? ORDER BY seq LIMIT 1"
            oldest = [(state, self._db.execute(sql, (state,)).fetchone()) for state in PUSHED_OUT]
        return any(row is not None and age_s - row[0] >= self._bounds.keep_s(state) for state, row in oldest)

    def open_episodes(self) -> Sequence[Event]:
        """The last event of every rule whose last event is a start, oldest first."""
        with named_errors():
            sql = f"SELECT {_COLUMNS} FROM open_episodes ORDER BY seq"  # noqa: S608
            return [rows.event(self.log, row) for row in self._db.execute(sql)]

    def set_open(self, starts: Iterable[Event]) -> None:
        """These episodes are open and no others, wherever their events are."""
        with named_errors(), transaction(self._db):
            self._db.execute("DELETE FROM open_episodes")
            self._db.executemany(_OPEN, [rows.values(start) for start in starts])

    def correct(self, boot_id: str, offset_s: float) -> int:
        """Gives all rows of that boot the times of a synced clock, as `outbox_rows.corrected`: how many there were."""
        count = 0
        with named_errors(), transaction(self._db):
            for table in ("open_episodes", "events"):
                sql = (
                    f"UPDATE {table} SET utc_s = ? + t_s, clock = 'corrected' WHERE boot_id = ? AND clock = 'unsynced'"  # noqa: S608
                )
                count = self._db.execute(sql, (offset_s, boot_id)).rowcount
                sql = (
                    f"UPDATE {table} SET start_utc_s = ? + start_t_s, start_clock = 'corrected'"  # noqa: S608
                    " WHERE boot_id = ? AND start_clock = 'unsynced' AND start_t_s > ?"
                )
                self._db.execute(sql, (offset_s, boot_id, rows.BEFORE_THIS_BOOT))
        return count

    def shrink(self) -> None:
        """Empties the write-ahead log; a luxury, so it fails without a word."""
        with contextlib.suppress(EdgedError), named_errors():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Lets go of the file. May be called twice."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _load(self) -> tuple[str, Tally]:
        now = self._clock.label(self._clock.monotonic())
        sql = "SELECT count(*), coalesce(min(seq), 1), coalesce(max(seq), 0), coalesce(sum(bytes), 0) FROM events"
        count, first, last, size_bytes = self._db.execute(sql).fetchone()
        (strange,) = self._db.execute(f"SELECT count(*) FROM events WHERE NOT ({_IS_SOUND})").fetchone()  # noqa: S608
        sql = f"SELECT count(*), coalesce(sum(bytes), 0) FROM events WHERE state = {WAITING}"  # noqa: S608
        waiting, waiting_bytes = self._db.execute(sql).fetchone()
        sql = "SELECT log, last_seq, dropped, set_aside, age_s, utc_s, clock FROM store"
        kept = self._db.execute(sql).fetchone()
        if kept is None and not count:
            kept = (new_id(), 0, 0, 0, 0.0, now.utc_s, now.clock)
            self._db.execute("INSERT INTO store VALUES (1, ?, ?, ?, ?, ?, ?, ?)", kept)
        if kept is None or [type(one) for one in kept] != [str, int, int, int, float, float, str]:
            raise StoreDamaged("its numbers are gone")
        if strange or first < 1 or last > kept[1]:
            raise StoreDamaged("rows in it make no sense")
        log, last_seq, dropped, set_aside, self._age0_s, utc_s, clock = kept
        if now.clock != "unsynced" != clock:
            self._age0_s += max(0.0, now.utc_s - utc_s)
        return log, Tally(last_seq, dropped, set_aside, count, size_bytes, waiting, waiting_bytes)

    def _insert(self, events: Sequence[Event], age_s: float, tally: Tally) -> None:
        for event in events:
            row, size_bytes = rows.values(event), rows.size_bytes(event)
            self._db.execute(_INSERT, (*row, age_s, size_bytes))
            if event.event_type == "start":
                self._db.execute(_OPEN, row)
            else:
                self._db.execute("DELETE FROM open_episodes WHERE rule = ?", (event.rule,))
            tally.add(event.seq, size_bytes)

    def _is_over(self, tally: Tally) -> bool:
        return tally.rows > self._bounds.max_rows or tally.bytes > self._bounds.max_bytes

    def _trim(self, age_s: float, tally: Tally, is_flying: Callable[[int], bool]) -> Iterator[tuple[int]]:
        for state in PUSHED_OUT:
            sql = "SELECT seq, bytes, since_s FROM events WHERE state = ? ORDER BY seq"
            for seq, size_bytes, since_s in self._db.execute(sql, (state,)):
                if not self._is_over(tally) and age_s - since_s < self._bounds.keep_s(state):
                    break
                if state != WAITING or not is_flying(seq):
                    tally.push_out(state, size_bytes)
                    yield (seq,)
