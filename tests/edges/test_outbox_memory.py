"""The queue in memory: the contract of the port, as examples and against any order of calls."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edged.core.types import Decision, Event
from edged.core.wire import LIVE_AGE_S
from edged.edges.identity import Numbering
from edged.edges.outbox_memory import MemoryOutbox
from edged.ports import OutboxCounts
from tests.fakes import FakeClipClock, FakeClock, rule

NOW_S = 1000.0


def start(t_s: float = NOW_S) -> Decision:
    return Decision(rule(), t_s, "ON", 0.9, "start", 0.9, t_s)


def off(t_s: float = NOW_S) -> Decision:
    return Decision(rule(), t_s, "OFF", 0.1)


def outbox(max_rows: int = 100, clock: FakeClock | None = None) -> MemoryOutbox:
    clock = clock or FakeClock(NOW_S)
    return MemoryOutbox(Numbering(clock, "log", "boot", "toy@00"), clock, max_rows)


def drained(box: MemoryOutbox, *, live: bool = True) -> list[int]:
    seqs = []
    while (event := box.next(live=live)) is not None:
        seqs.append(event.seq)
    return seqs


def test_only_decisions_that_are_events_are_kept_in_their_order() -> None:
    box = outbox()
    events = box.append([off(), start(998.0), off(), start(999.0)])
    assert [(event.seq, event.t_s) for event in events] == [(1, 998.0), (2, 999.0)]
    assert list(box.append([])) == []
    assert list(box.append([off()])) == []
    assert drained(box) == [1, 2]
    assert box.log == "log"


def test_an_event_in_flight_is_not_given_twice_but_kept_until_it_is_acknowledged() -> None:
    box = outbox()
    box.append([start(), start()])
    first = box.next(live=True)
    assert first is not None
    assert drained(box) == [2]
    assert box.next(live=True) is None
    assert box.counts().rows == 2
    box.acknowledge(first)
    assert box.counts().rows == 1
    assert box.acknowledged == 1


def test_an_event_that_the_broker_will_never_take_is_out_of_the_way_and_not_acknowledged() -> None:
    box = outbox()
    (event,) = box.append([start()])
    assert drained(box) == [1]
    box.refuse(event)
    box.refuse(event)
    assert box.counts().set_aside == 1
    box.release()
    assert (drained(box), box.counts().rows, box.acknowledged) == ([], 0, 0)


def test_what_is_released_comes_again_oldest_first_and_is_the_same_event() -> None:
    box = outbox()
    events = box.append([start() for _ in range(4)])
    assert drained(box) == [1, 2, 3, 4]
    box.acknowledge(events[1])
    box.append([start()])
    box.release()
    again = [box.next(live=True) for _ in range(4)]
    assert again[:3] == [events[0], events[2], events[3]]
    assert again[3] is not None
    assert again[3].seq == 5


def test_one_event_can_be_released_alone() -> None:
    box = outbox()
    events = box.append([start() for _ in range(3)])
    assert drained(box) == [1, 2, 3]
    box.release(events[1])
    assert drained(box) == [2]


def test_an_acknowledgement_of_what_is_not_in_flight_changes_nothing() -> None:
    box = outbox()
    (event,) = box.append([start()])
    box.acknowledge(event)  # it waits: nobody can have acknowledged it
    assert box.acknowledged == 0
    assert drained(box) == [1]


def test_an_event_is_live_for_thirty_seconds_and_then_late() -> None:
    clock = FakeClock(NOW_S)
    box = outbox(clock=clock)
    box.append([start()])
    clock.advance(LIVE_AGE_S)
    box.append([start(clock.monotonic())])
    assert box.next(live=False) is None
    clock.advance(0.001)
    assert (drained(box), drained(box, live=False)) == ([2], [1])
    clock.advance(LIVE_AGE_S)
    box.release()
    assert (drained(box), drained(box, live=False)) == ([], [1, 2])


def test_beyond_its_bound_the_oldest_that_waits_is_dropped_and_counted() -> None:
    box = outbox(max_rows=3)
    box.append([start(), start()])
    assert box.next(live=True) is not None
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
    events = box.append([start(90.0), start(95.0)])
    assert box.counts().oldest_s == 10.0
    assert box.next(live=True) is not None
    assert box.counts().oldest_s == 10.0  # in flight it is still there
    box.acknowledge(events[0])
    clock.advance(1.0)
    assert box.counts().oldest_s == 6.0
    assert box.counts().last_seq == 2


def test_events_of_a_clip_have_no_age_and_stay_live() -> None:
    clock = FakeClipClock(50_000.0)
    box = outbox(clock=clock)
    box.append([start(3.0)])
    assert box.counts().oldest_s is None
    assert drained(box) == [1]


def test_nothing_is_kept_for_a_replay() -> None:
    box = outbox()
    box.append([start()])
    assert box.replay(1) is None


calls = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 4)),
        st.tuples(st.just("next"), st.booleans()),
        st.tuples(st.sampled_from(("acknowledge", "refuse")), st.integers(1, 40)),
        st.tuples(st.just("release"), st.one_of(st.none(), st.integers(1, 40))),
        st.tuples(st.just("advance"), st.sampled_from((1.0, 20.0, 31.0))),
    ),
    max_size=60,
)


@given(calls, st.integers(1, 12))
def test_every_event_waits_flies_was_answered_or_was_dropped(script: list[tuple[str, Any]], max_rows: int) -> None:
    clock = FakeClock(NOW_S)
    box = outbox(max_rows, clock)
    known: dict[int, Event] = {}
    answered: set[int] = set()
    flying: set[int] = set()
    for what, how in script:
        if what == "append":
            events = box.append([start(clock.monotonic()) for _ in range(how)])
            assert [event.seq for event in events] == list(range(len(known) + 1, len(known) + how + 1))
            known |= {event.seq: event for event in events}
        elif what == "next":
            event = box.next(live=how)
            if event is not None:
                assert event.seq not in flying | answered
                assert event == known[event.seq]
                assert how == (clock.monotonic() - event.t_s <= LIVE_AGE_S)
                flying.add(event.seq)
        elif what == "advance":
            clock.advance(how)
        elif what == "release":
            if how is None or how in known:
                flying -= flying.copy() if how is None else {how}
                box.release(known[how] if how else None)
        elif how in known:
            answered |= flying & {how}
            flying.discard(how)
            (box.acknowledge if what == "acknowledge" else box.refuse)(known[how])
        counts = box.counts()
        assert counts.rows <= max(max_rows, len(flying))
        assert counts.rows + counts.dropped + len(answered) == len(known)
    late, live = drained(box, live=False), drained(box)
    assert late == sorted(late)
    assert live == sorted(live)
    assert not {*late, *live} & (flying | answered)
