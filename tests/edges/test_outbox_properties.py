"""The queue on the disk against a model of it, whatever is called in whatever order, with crashes in between."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edged.core.types import Event
from edged.core.wire import LIVE_AGE_S
from edged.edges.outbox import SqliteOutbox
from tests.fakes import FakeClock
from tests.outboxes import NOW_S, after_power_cut, drained, end, seqs, sqlite, start

NAMES = ("cat", "dog")


class OutboxMachine(RuleBasedStateMachine):
    """What the store must do, as plain sets of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="edged-test-"))
        self.path = self.root / "0" / "outbox.db"
        self.lives = 0
        self.clock = FakeClock(NOW_S)
        self.known: dict[int, Event] = {}
        self.stored: dict[int, str] = {}  # waiting, delivered, set aside: as the disk has it
        self.settled: dict[int, str] = {}  # answers that the disk does not have yet
        self.flying: dict[int, bool] = {}
        self.live: set[int] = set()
        self.repeats: set[int] = set()
        self.open: dict[str, int] = {}
        self.dropped = 0

    @initialize(max_rows=st.integers(1, 12))
    def open_store(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.box: SqliteOutbox = sqlite(self.path, self.clock, max_rows=max_rows)

    def teardown(self) -> None:
        if hasattr(self, "box"):
            self.ends_well()
            self.box.close()
        shutil.rmtree(self.root)

    def ends_well(self) -> None:
        """Everything that waits is handed out, each kind in order, and nothing else is."""
        live, late = self.waiting()
        assert seqs(drained(self.box, live=True)) == sorted(live)
        assert seqs(drained(self.box, live=False)) == sorted(late)

    def waiting(self) -> tuple[set[int], set[int]]:
        """Live and late numbers that can be handed out now."""
        now_s = self.clock.monotonic()
        self.live = {seq for seq in self.live if now_s - self.known[seq].t_s <= LIVE_AGE_S}
        wait = {seq for seq, state in self.stored.items() if state == "waiting"} - set(self.settled) | self.repeats
        return self.live - set(self.flying), wait - self.live - set(self.flying)

    def commit(self, events: list[Event]) -> None:
        self.stored |= self.settled
        self.settled.clear()
        for event in events:
            assert event.seq == len(self.known) + 1
            assert event.log == self.box.log
            assert event.id not in {one.id for one in self.known.values()}
            self.known[event.seq] = event
            self.stored[event.seq] = "waiting"
            self.live.add(event.seq)
            self.open.pop(event.rule, None)
            if event.event_type == "start":
                self.open[event.rule] = event.seq
        for state in ("delivered", "set aside", "waiting"):
            for seq in sorted(seq for seq, found in self.stored.items() if found == state):
                if len(self.stored) > self.max_rows and not (state == "waiting" and seq in self.flying):
                    del self.stored[seq]
                    self.live.discard(seq)
                    if seq not in self.flying:
                        self.repeats.discard(seq)
                    self.dropped += state == "waiting"

    @rule(kinds=st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=5))
    def append(self, kinds: list[tuple[str, bool]]) -> None:
        now_s = self.clock.monotonic()
        decisions = [start(now_s, name) if is_start else end(now_s, name) for name, is_start in kinds]
        events = list(self.box.append(decisions))
        assert [(event.rule, event.event_type == "start") for event in events] == kinds
        if events or self.settled:
            self.commit(events)

    @rule(live=st.booleans(), times=st.integers(1, 4))
    def next(self, live: bool, times: int) -> None:
        for _ in range(times):
            lives, lates = self.waiting()
            event = self.box.next(live=live)
            if live:
                assert (event.seq if event else None) == min(lives, default=None)
            elif event is None:
                assert all(seq > min(lives) for seq in lates) if lives else not lates
            else:
                # Behind something live the backlog waits for it to go, so there it is not always the oldest.
                assert event.seq in lates
                assert lives or event.seq == min(lates)
            if event is not None:
                assert event == self.known[event.seq]
                self.flying[event.seq] = live

    def pick(self, number: int) -> int:
        """Mostly something in flight, sometimes anything."""
        places = sorted(self.flying) or sorted(self.known)
        return places[number % len(places)]

    @precondition(lambda self: self.known)
    @rule(number=st.integers(0, 50), taken=st.booleans(), strange=st.booleans())
    def answer(self, number: int, taken: bool, strange: bool) -> None:
        seq = number % len(self.known) + 1 if strange else self.pick(number)
        (self.box.acknowledge if taken else self.box.refuse)(self.known[seq])
        if self.flying.pop(seq, None) is None:
            return
        if seq in self.repeats:
            self.repeats.discard(seq)
        else:
            self.settled[seq] = "delivered" if taken else "set aside"
            self.live.discard(seq)

    @precondition(lambda self: self.known)
    @rule(number=st.one_of(st.none(), st.integers(0, 50)))
    def release(self, number: int | None) -> None:
        back = list(self.flying) if number is None else [self.pick(number)]
        self.box.release(None if number is None else self.known[back[0]])
        for seq in back:
            if not self.flying.pop(seq, True):
                self.live.discard(seq)

    @rule(seconds=st.sampled_from((0.5, 10.0, 31.0)))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(from_seq=st.integers(-1, 40))
    def replay(self, from_seq: int) -> None:
        kept = self.box.replay(from_seq)
        self.commit([])
        found = [seq for seq in self.stored if seq >= from_seq]
        assert kept == ((min(found), max(found), len(found)) if found else None)
        self.repeats |= {seq for seq in found if self.stored[seq] != "waiting"}

    def reborn(self) -> None:
        self.flying.clear()
        self.live.clear()
        self.repeats.clear()
        self.settled.clear()
        self.box = sqlite(self.path, self.clock, max_rows=self.max_rows)

    @rule()
    def restart(self) -> None:
        if self.settled:
            self.commit([])
        self.box.close()
        self.reborn()

    @rule()
    def crash(self) -> None:
        self.lives += 1
        dead, self.path = self.box, after_power_cut(self.path, self.root / str(self.lives))
        dead.abandon()
        self.reborn()

    @rule()
    def end_what_is_open(self) -> None:
        events = list(self.box.close_open())
        expected = [(self.known[seq].rule, "end", "daemon_restarted") for seq in sorted(self.open.values())]
        assert [(event.rule, event.event_type, event.reason) for event in events] == expected
        if events:
            self.commit(events)

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "box"):
            return
        counts = self.box.counts()
        waiting = [seq for seq, state in self.stored.items() if state == "waiting" and seq not in self.settled]
        assert (counts.rows, counts.dropped) == (len(waiting), self.dropped)
        assert (counts.first_seq, counts.last_seq) == (min(self.stored, default=None), len(self.known) or None)
        assert (counts.oldest_s is None) == (not waiting)
        assert len(self.stored) <= max(self.max_rows, len(self.flying))


class TestOutbox(OutboxMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(stateful_step_count=40)
