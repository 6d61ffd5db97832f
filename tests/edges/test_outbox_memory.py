"""The queue in memory: the contract of the port, as examples and against any order of calls."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edged.core.types import Decision
from edged.edges.identity import Numbering
from edged.edges.outbox_memory import MemoryOutbox
from edged.ports import OutboxCounts
from tests.fakes import FakeClipClock, FakeClock, rule


def start(t_s: float = 0.0) -> Decision:
    return Decision(rule(), t_s, "ON", 0.9, "start", 0.9, t_s)


def off(t_s: float = 0.0) -> Decision:
    return Decision(rule(), t_s, "OFF", 0.1)


def outbox(max_rows: int = 100, clock: FakeClock | None = None) -> MemoryOutbox:
    clock = clock or FakeClock()
    return MemoryOutbox(Numbering(clock, "log", "boot", "toy@00"), clock, max_rows)


def drained(box: MemoryOutbox) -> list[int]:
    seqs = []
    while (event := box.next()) is not None:
        seqs.append(event.seq)
    return seqs


def test_only_decisions_that_are_events_are_kept_in_their_order() -> None:
    box = outbox()
    events = box.append([off(1.0), start(2.0), off(3.0), start(4.0)])
    assert [(event.seq, event.decision.t_s) for event in events] == [(1, 2.0), (2, 4.0)]
    assert list(box.append([])) == []
    assert list(box.append([off()])) == []
    assert drained(box) == [1, 2]
    assert box.log == "log"


def test_an_event_in_flight_is_not_given_twice_but_kept_until_it_is_acknowledged() -> None:
    box = outbox()
    box.append([start(), start()])
    first = box.next()
    assert first is not None
    assert drained(box) == [2]
    assert box.next() is None
    assert box.counts().rows == 2
    box.acknowledge(first.seq)
    assert box.counts().rows == 1


def test_what_is_released_comes_again_oldest_first_and_is_the_same_event() -> None:
    box = outbox()
    events = box.append([start() for _ in range(4)])
    assert drained(box) == [1, 2, 3, 4]
    box.acknowledge(2)
    box.append([start()])
    box.release()
    again = [box.next() for _ in range(4)]
    assert again[:3] == [events[0], events[2], events[3]]
    assert again[3] is not None
    assert again[3].seq == 5


def test_one_event_can_be_released_alone() -> None:
    box = outbox()
    box.append([start() for _ in range(3)])
    assert drained(box) == [1, 2, 3]
    box.release(2)
    assert drained(box) == [2]
    box.release(99)
    assert drained(box) == []


def test_an_acknowledgement_of_what_is_not_in_flight_changes_nothing() -> None:
    box = outbox()
    box.append([start()])
    box.acknowledge(1)  # it waits: nobody can have acknowledged it
    box.acknowledge(7)
    assert drained(box) == [1]


def test_beyond_its_bound_the_oldest_that_waits_is_dropped_and_counted() -> None:
    box = outbox(max_rows=3)
    box.append([start(), start()])
    flying = box.next()
    assert flying is not None
    box.append([start() for _ in range(4)])
    counts = box.counts()
    assert (counts.rows, counts.dropped, counts.first_seq, counts.last_seq) == (3, 3, 1, 6)
    assert drained(box) == [5, 6]
    box.release()
    assert drained(box) == [1, 5, 6]


def test_counts_of_an_empty_queue() -> None:
    assert outbox().counts() == OutboxCounts(0, None, None, 0, None, None)


def test_the_oldest_is_as_old_as_its_decision() -> None:
    clock = FakeClock(100.0)
    box = outbox(clock=clock)
    box.append([start(90.0), start(95.0)])
    assert box.counts().oldest_s == 10.0
    assert box.next() is not None
    assert box.counts().oldest_s == 10.0  # in flight it is still there
    box.acknowledge(1)
    clock.advance(1.0)
    assert box.counts().oldest_s == 6.0
    assert box.counts().last_seq == 2


def test_events_of_a_clip_have_no_age() -> None:
    box = outbox(clock=FakeClipClock(50_000.0))
    box.append([start(3.0)])
    assert box.counts().oldest_s is None


calls = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 4)),
        st.tuples(st.just("next"), st.none()),
        st.tuples(st.just("acknowledge"), st.integers(1, 40)),
        st.tuples(st.just("release"), st.one_of(st.none(), st.integers(1, 40))),
    ),
    max_size=60,
)


@given(calls, st.integers(1, 12))
def test_every_event_waits_flies_was_acknowledged_or_was_dropped(script: list[tuple[str, Any]], max_rows: int) -> None:
    box = outbox(max_rows)
    numbered, acknowledged, flying, ids = 0, set(), set(), {}
    for what, how in script:
        if what == "append":
            events = box.append([start() for _ in range(how)])
            assert [event.seq for event in events] == list(range(numbered + 1, numbered + how + 1))
            numbered += how
        elif what == "next":
            event = box.next()
            if event is not None:
                assert event.seq not in flying | acknowledged
                assert ids.setdefault(event.seq, event.id) == event.id
                flying.add(event.seq)
        elif what == "acknowledge":
            if how in flying:
                acknowledged.add(how)
            flying.discard(how)
            box.acknowledge(how)
        else:
            flying -= flying.copy() if how is None else {how}
            box.release(how)
        counts = box.counts()
        assert counts.rows <= max(max_rows, len(flying))
        assert counts.rows + counts.dropped + len(acknowledged) == numbered
    waiting = drained(box)
    assert waiting == sorted(waiting)
    assert not set(waiting) & (flying | acknowledged)
