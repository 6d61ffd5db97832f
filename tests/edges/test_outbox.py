"""The queue on the disk: what it keeps, in which order it gives, what it lets go."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from edged.core.types import Decision
from edged.core.wire import LIVE_AGE_S
from edged.edges.outbox import SETTLE_S, SETTLED_ROWS, SqliteOutbox
from edged.edges.outbox_schema import PAGE_BYTES, StoreUnusable
from edged.ports import OutboxCounts
from tests.fakes import UTC_S, FakeClipClock, FakeClock, rule
from tests.outboxes import NOW_S, WEEK_S, after_power_cut, drained, end, seqs, sqlite, start


def again(box: SqliteOutbox, path: Path, clock: FakeClock | None = None, **changes: object) -> SqliteOutbox:
    """The next process."""
    box.close()
    return sqlite(path, clock, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "porch" / "outbox.db"


def test_what_was_appended_is_there_after_a_power_cut_and_is_the_same(path: Path, tmp_path: Path) -> None:
    box = sqlite(path)
    blind = Decision(rule("dog", label="dög"), NOW_S, "unknown", None, "end", None, 999.5, 0.5, "camera_lost")
    events = box.append([start(999.0), Decision(rule(), NOW_S, "OFF", 0.1), blind])
    rest = sqlite(after_power_cut(path, tmp_path / "other"))
    assert drained(rest, live=False) == list(events)
    assert seqs(list(events)) == [1, 2]
    assert rest.log == box.log == events[0].log
    assert (events[1].label, events[1].score, events[1].reason) == ("dög", None, "camera_lost")
    box.close()
    rest.close()


def test_numbers_go_on_without_a_gap_in_the_next_process(path: Path) -> None:
    box = sqlite(path)
    box.append([start(), end()])
    box = again(box, path)
    assert seqs(list(box.append([start()]))) == [3]
    assert box.counts().last_seq == 3
    box.close()


def test_a_turn_with_nothing_to_do_writes_nothing(path: Path) -> None:
    box = sqlite(path)
    (event,) = box.append([start()])
    journal = path.with_name("outbox.db-wal")
    size = journal.stat().st_size
    for _ in range(100):
        assert box.append(()) == ()
        assert list(box.append([Decision(rule(), NOW_S, "OFF", 0.1)])) == []
        assert box.next(live=False) is None
    assert journal.stat().st_size == size
    assert box.next(live=True) == event
    box.acknowledge(event)
    assert journal.stat().st_size == size
    box.append(())
    assert journal.stat().st_size > size
    box.close()


def test_only_what_was_answered_is_gone_after_a_power_cut(path: Path, tmp_path: Path) -> None:
    box = sqlite(path)
    events = box.append([start(), start(), start(), start()])
    assert drained(box, live=True) == list(events)
    box.acknowledge(events[0])
    box.refuse(events[1])
    box.append(())
    box.acknowledge(events[2])  # not yet stored: a repeat with the same id
    assert box.counts().rows == 1
    rest = sqlite(after_power_cut(path, tmp_path / "other"))
    assert drained(rest, live=False) == [events[2], events[3]]
    assert (rest.set_aside, rest.acknowledged, box.acknowledged) == (1, 0, 2)
    box.close()
    rest.close()


def test_an_answer_waits_for_the_next_event_but_not_for_ever(path: Path, tmp_path: Path) -> None:
    """A transaction of its own would wear the card half as much again."""
    clock = FakeClock(NOW_S)
    box = sqlite(path, clock, settle_s=SETTLE_S)
    journal = path.with_name("outbox.db-wal")

    def answered(count: int = 1) -> int:
        """The size of the journal after a turn in which so many events were acknowledged."""
        for event in box.append([start(clock.monotonic())] * count):
            assert box.next(live=True) == event
            box.acknowledge(event)
        size = journal.stat().st_size
        assert not box.append(())
        return size

    def repeated(folder: str) -> int:
        """How many events would be sent once more, with their ids, if the power went now."""
        rest = sqlite(after_power_cut(path, tmp_path / folder))
        count = len(drained(rest, live=False))
        rest.close()
        return count

    size = answered()
    assert box.counts().rows == 0
    clock.advance(SETTLE_S - 1.0)
    box.append(())
    assert journal.stat().st_size == size
    assert repeated("early") == 1
    clock.advance(1.0)
    box.append(())
    assert journal.stat().st_size > size
    assert repeated("late") == 0
    assert answered(SETTLED_ROWS - 1) == journal.stat().st_size
    assert answered(SETTLED_ROWS) < journal.stat().st_size
    box.close()


def test_pages_are_small_because_each_that_is_touched_is_written_whole(path: Path) -> None:
    box = sqlite(path)
    box.append([start()])
    box.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA page_size").fetchone() == (PAGE_BYTES,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_clean_end_stores_the_last_answers(path: Path) -> None:
    box = sqlite(path)
    (event,) = box.append([start()])
    assert box.next(live=True)
    box.acknowledge(event)
    box = again(box, path)
    assert box.counts().rows == 0
    assert drained(box, live=False) == []
    box.close()


def test_live_is_young_and_of_this_process(path: Path) -> None:
    clock = FakeClock(NOW_S)
    box = sqlite(path, clock)
    box.append([start()])
    box = again(box, path, clock)
    box.append([start(), start(NOW_S + 1)])
    clock.advance(LIVE_AGE_S)
    assert box.next(live=False).seq == 1  # type: ignore[union-attr]
    clock.advance(0.5)
    assert seqs(drained(box, live=False)) == [2]
    assert seqs(drained(box, live=True)) == [3]
    box.release()
    clock.advance(1)
    assert (seqs(drained(box, live=True)), seqs(drained(box, live=False))) == ([], [1, 2, 3])
    box.close()


def test_an_event_of_a_clip_stays_live(path: Path) -> None:
    box = sqlite(path, FakeClipClock(50_000.0))
    box.append([start(3.0)])
    assert seqs(drained(box, live=True)) == [1]
    box.close()


def test_what_is_released_comes_again_where_its_number_wants_it(path: Path) -> None:
    box = sqlite(path)
    box.append([start() for _ in range(5)])
    first, second, third = (box.next(live=True) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    box.release(second)
    assert box.next(live=True) == second
    box.acknowledge(second)
    box.acknowledge(second)  # in flight no more
    box.release(second)
    box.release()
    assert seqs(drained(box, live=True)) == [1, 3, 4, 5]
    assert box.acknowledged == 1
    box.close()


def test_a_backlog_is_read_in_order_and_in_small_batches(path: Path) -> None:
    box = sqlite(path)
    box.append([start() for _ in range(500)])
    box = again(box, path)
    box.append([start()])
    taken = [box.next(live=False) for _ in range(8)]
    assert [event.seq for event in taken if event] == list(range(1, 9))
    assert box.in_memory < 100
    box.release(taken[2])
    assert seqs(drained(box, live=False)) == [3, *range(9, 501)]
    box.close()


@pytest.mark.parametrize(("count", "dropped"), [(9, 0), (10, 0), (11, 1), (25, 15)])
def test_exactly_as_many_as_allowed_drop_nothing(path: Path, count: int, dropped: int) -> None:
    box = sqlite(path, max_rows=10)
    for _ in range(count):
        box.append([start()])
    box = again(box, path, max_rows=10)
    assert (box.counts().rows, box.counts().dropped) == (count - dropped, dropped)
    assert seqs(drained(box, live=False)) == list(range(dropped + 1, count + 1))
    box.close()


def test_delivered_ones_go_first_then_those_set_aside_then_the_oldest_but_never_one_in_flight(path: Path) -> None:
    box = sqlite(path, max_rows=4)
    events = box.append([start() for _ in range(4)])
    assert len(drained(box, live=True)) == 4
    box.acknowledge(events[2])
    box.refuse(events[0])
    box.release(events[3])
    kept = []
    for _ in range(4):
        box.append([start()])
        kept.append((box.replay(0), box.counts().dropped))
    # 3 was delivered, 1 is set aside, 2 is in flight: then 4 waits longest, then 5.
    assert [replayed and replayed[0] for replayed, _ in kept] == [1, 2, 2, 2]
    assert [dropped for _, dropped in kept] == [0, 0, 1, 2]
    box.close()


def test_one_append_may_be_more_than_is_kept(path: Path) -> None:
    box = sqlite(path, max_rows=3)
    assert len(box.append([start() for _ in range(8)])) == 8
    assert seqs(drained(box, live=True)) == [6, 7, 8]
    assert box.counts().dropped == 5
    box.close()


def test_bytes_are_bounded_on_the_disk(path: Path) -> None:
    box = sqlite(path, max_bytes=200_000)
    for _ in range(40):
        box.append([start() for _ in range(50)])
    counts = box.counts()
    assert counts.bytes is not None
    assert 190_000 < counts.bytes <= 200_000
    assert counts.rows + counts.dropped == 2000
    box.close()
    assert path.stat().st_size < 220_000


def test_age_drops_what_waits_and_forgets_what_was_delivered(path: Path) -> None:
    clock = FakeClock(NOW_S)
    box = sqlite(path, clock, max_age_s=10_000.0, keep_delivered_s=1000.0)
    events = box.append([start(), start(), start()])
    assert len(drained(box, live=True)) == 3
    box.acknowledge(events[0])
    box.refuse(events[1])
    box.release(events[2])
    box.append(())
    for seconds, kept, dropped in ((999, 3, 0), (601, 2, 0), (8000, 2, 0), (1000, 0, 1)):
        clock.advance(seconds)
        box.append(())
        replayed = box.replay(0)
        assert (replayed[2] if replayed else 0, box.counts().dropped) == (kept, dropped)
    assert drained(box, live=False) == []
    box.close()


def test_age_goes_on_between_processes_where_the_clock_is_known(path: Path) -> None:
    for synced, first in ((True, None), (False, 1)):
        file = path.with_name(f"{synced}.db")
        clock = FakeClock(NOW_S)
        clock.synced = synced
        box = sqlite(file, clock)
        box.append([start()])
        later = FakeClock(NOW_S + WEEK_S)  # another boot, a week later by the wall clock
        later.synced = synced
        box = again(box, file, later, boot_id="other")
        box.append(())
        assert box.counts().first_seq == first
        box.close()


def test_counts(path: Path) -> None:
    clock = FakeClock(NOW_S)
    box = sqlite(path, clock)
    assert box.counts() == OutboxCounts(0, 0, None, 0, None, None)
    events = [*box.append([start()])]
    clock.advance(10)
    events += box.append([start(clock.monotonic())])
    counts = box.counts()
    assert (counts.rows, counts.oldest_s, counts.first_seq, counts.last_seq) == (2, 10.0, 1, 2)
    assert len(drained(box, live=True)) == 2
    assert box.counts() == counts  # in flight they are still there
    box.acknowledge(events[0])
    one = box.counts()
    assert (one.rows, one.oldest_s, one.first_seq) == (1, 0.0, 1)  # delivered ones are kept
    assert counts.bytes == 2 * (one.bytes or 0)
    box.append(())
    assert box.counts() == one
    box.acknowledge(events[1])
    assert box.counts() == OutboxCounts(0, 0, None, 0, 1, 2)
    box.close()


def test_a_replay_brings_everything_that_is_kept_from_a_number_on_as_late(path: Path) -> None:
    clock = FakeClock(NOW_S)
    box = sqlite(path, clock)
    events = list(box.append([start() for _ in range(6)]))
    for event in drained(box, live=True)[:4]:
        box.acknowledge(event)
    box.release()
    assert box.replay(3) == (3, 6, 4)
    assert seqs(drained(box, live=True)) == [5, 6]  # they wait anyway, and are live
    assert drained(box, live=False) == [events[2], events[3]]
    box.release()
    assert seqs(drained(box, live=True)) == [5, 6]
    assert box.counts().rows == 2  # the broker has the others
    for event in drained(box, live=False):
        box.acknowledge(event)
    assert drained(box, live=False) == []
    assert box.replay(7) is None
    assert box.replay(-5) == (1, 6, 6)
    assert box.replay(10**40) is None
    box.close()


def test_a_replay_ends_with_the_process_and_the_delivery_does_not(path: Path, tmp_path: Path) -> None:
    box = sqlite(path)
    box.append([start() for _ in range(3)])
    for event in drained(box, live=True):
        box.acknowledge(event)
    assert box.replay(1) == (1, 3, 3)
    assert box.next(live=False) is not None
    box.append([start()])
    rest = sqlite(after_power_cut(path, tmp_path / "other"))
    assert seqs(drained(rest, live=False)) == [4]
    box.close()
    rest.close()


def test_what_was_set_aside_can_be_asked_for(path: Path) -> None:
    box = sqlite(path)
    (event,) = box.append([start()])
    assert box.next(live=True)
    box.refuse(event)
    assert (box.counts().rows, box.set_aside, drained(box, live=True)) == (0, 1, [])
    assert box.replay(1) == (1, 1, 1)
    assert drained(box, live=False) == [event]
    box.refuse(event)
    box.append(())
    assert (box.counts().rows, box.counts().set_aside) == (0, 1)
    box.close()


def test_events_of_this_boot_get_their_time_when_the_clock_is_known(path: Path) -> None:
    clock = FakeClock(NOW_S)
    clock.synced = False
    other = sqlite(path, clock, boot_id="earlier")
    other.append([start()])
    box = again(other, path, clock)
    delivered, flying, waiting = (box.append([one])[0] for one in (start(990.0), end(995.0, began_s=990.0), start()))
    assert box.next(live=True) == delivered
    box.acknowledge(delivered)
    box.append(())
    assert box.next(live=True) == flying
    assert box.correct_clock() == 0  # not yet
    clock.synced = True
    assert box.correct_clock() == 3
    assert box.correct_clock() == 0
    box.release()
    box.append([start(1001.0)])
    box.replay(1)
    events = {event.seq: event for event in [*drained(box, live=True), *drained(box, live=False)]}
    assert [events[seq].time.clock for seq in range(1, 6)] == ["unsynced", *["corrected"] * 3, "synced"]
    assert events[2].time.utc_s == UTC_S + 990.0
    assert events[3].start_time == events[2].time
    assert events[4] == dataclasses.replace(waiting, time=events[4].time, start_time=events[4].start_time)
    box = again(box, path, clock)
    assert box.next(live=False).time.clock == "unsynced"  # type: ignore[union-attr]
    assert box.next(live=False) == events[3]
    box.close()


def test_what_a_dead_process_left_open_is_ended_once(path: Path, tmp_path: Path) -> None:
    clock = FakeClock(NOW_S)
    box = sqlite(path, clock)
    box.append([start(name="cat"), start(name="dog"), start(name="bird"), end(name="dog")])
    box.append([end(name="bird"), start(name="bird")])
    clock.advance(60)
    rest = sqlite(after_power_cut(path, tmp_path / "other"), clock)
    cat, bird = rest.close_open()
    assert [(one.seq, one.rule, one.event_type, one.reason) for one in (cat, bird)] == [
        (7, "cat", "end", "daemon_restarted"),
        (8, "bird", "end", "daemon_restarted"),
    ]
    assert (cat.duration_s, cat.score, cat.peak_score, cat.frame_age_ms) == (60.0, None, 0.91, None)
    assert cat.start_time.utc_s == UTC_S + NOW_S
    assert cat.time.utc_s == UTC_S + NOW_S + 60
    assert drained(rest, live=True) == [cat, bird]
    assert list(rest.close_open()) == []
    rest = again(rest, tmp_path / "other" / "outbox.db", clock)
    assert list(rest.close_open()) == []
    box.close()
    rest.close()


@pytest.mark.parametrize(
    ("before", "after", "duration_s"), [(True, True, 86_460.0), (True, False, None), (False, True, None)]
)
def test_an_episode_of_an_earlier_boot_lasted_as_long_as_two_good_clocks_say(
    path: Path, before: bool, after: bool, duration_s: float | None
) -> None:
    clock = FakeClock(NOW_S)
    clock.synced = before
    box = sqlite(path, clock, boot_id="earlier")
    box.append([start()])
    clock = FakeClock(NOW_S + 86_460)
    clock.synced = after
    box = again(box, path, clock)
    (ended,) = box.close_open()
    assert ended.duration_s == duration_s
    assert ended.start_t_s == (NOW_S if duration_s else -math.inf)
    clock.synced = True
    box.correct_clock()
    (ended,) = drained(box, live=True)
    assert ended.time.clock == ("synced" if after else "corrected")
    assert ended.start_time.clock == ("synced" if before else "unsynced")
    assert ended.start_time.utc_s == UTC_S + NOW_S
    box.close()
    rest = sqlite(path, clock)
    assert seqs(drained(rest, live=False)) == [1, 2]
    rest.close()


def test_nobody_else_can_read_the_files(path: Path) -> None:
    box = sqlite(path)
    box.append([start()])
    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {"outbox.db", "outbox.db-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    box.close()
    path.chmod(0o644)
    box = sqlite(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    box.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_made_by_root_belongs_to_the_folders_owner(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 12345, 12346)
    box = sqlite(path)
    box.append([start()])
    assert {(file.stat().st_uid, file.stat().st_gid) for file in path.parent.iterdir()} == {(12345, 12346)}
    box.close()


def test_the_journal_is_emptied_when_a_backlog_is_gone(path: Path) -> None:
    box = sqlite(path)
    for _ in range(20):
        box.append([start() for _ in range(10)])
    box = again(box, path)
    while (event := box.next(live=False)) is not None:
        box.acknowledge(event)
        box.append(())
    assert path.with_name("outbox.db-wal").stat().st_size == 0
    box.close()


def test_no_second_process_numbers_in_the_same_log(path: Path) -> None:
    box = sqlite(path)
    with pytest.raises(StoreUnusable, match="another process uses the file"):
        sqlite(path)
    box.close()
    sqlite(path).close()


def test_another_thread_is_a_mistake_of_this_program(path: Path) -> None:
    box = sqlite(path)
    errors: list[BaseException] = []

    def use() -> None:
        try:
            box.append([start()])
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert [type(error).__name__ for error in errors] == ["ProgrammingError"]
    assert seqs(list(box.append([start()]))) == [1]
    box.close()
