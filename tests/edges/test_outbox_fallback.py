"""The queue when the disk is full, read-only or not there: nothing stops or raises, and it is tried again."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edged.core.types import Event
from edged.edges.outbox_fallback import RETRY_S, RING_ROWS
from tests.fakes import FakeClock
from tests.outboxes import NOW_S, drained, durable, end, seqs, sqlite, start


@contextmanager
def full_disk(at_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can only be mounted by root, outside of most containers")
    try:
        yield folder
    finally:
        # Lazily: a test that failed may still hold a file there.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_on_a_full_disk_events_go_to_the_ring_and_later_to_the_disk_again(tmp_path: Path) -> None:
    clock = FakeClock(NOW_S)
    path = tmp_path / "outbox.db"
    box = durable(path, clock)
    disk_log = box.log
    stored = list(box.append([start()]))
    with full_disk(path.with_name("outbox.db-wal").stat().st_size):
        ringed = [*box.append([end(), start(name="dog")]), *box.append([start(name="bird")])]
        assert list(box.problems) == ["outbox_disk"]
        assert "events cannot be stored" in box.problems["outbox_disk"]
        clock.advance(RETRY_S)
        ringed += box.append([end(name="bird")])  # tried again, in vain
    assert box.log != disk_log
    assert {event.log for event in ringed} == {box.log}
    assert seqs(ringed) == [1, 2, 3, 4]
    assert box.counts().rows == 5
    clock.advance(RETRY_S - 1)
    ringed += box.append([start(clock.monotonic())])
    assert ringed[-1].log != disk_log
    clock.advance(1)
    stored += box.append([end(clock.monotonic())])
    assert (box.problems, box.log) == ({}, disk_log)
    assert [(event.log, event.seq) for event in stored] == [(disk_log, 1), (disk_log, 2)]
    assert box.numbered == 7
    given = [*drained(box, live=True), *drained(box, live=False)]
    assert [one for one in given if one.log != disk_log] == [ringed[4], *ringed[:4]]
    assert [one for one in given if one.log == disk_log] == [stored[1], stored[0]]
    for event in given:
        box.acknowledge(event)
    box.append(())
    assert (box.counts().rows, box.acknowledged) == (0, 7)
    box.close()
    # Open is what is open in truth, wherever its start is.
    rest = sqlite(path, clock)
    assert [event.rule for event in rest.close_open()] == ["dog"]
    assert rest.counts().last_seq == 3
    rest.close()


def test_every_event_is_told_once_wherever_it_is_kept(tmp_path: Path) -> None:
    """On the disk, in the ring, and those that end what an earlier process left open."""
    path, clock = tmp_path / "state" / "outbox.db", FakeClock(NOW_S)
    told: list[Event] = []
    earlier = durable(path, clock, stored=told.extend)
    (first,) = earlier.append([start()])
    earlier.close()
    (tmp_path / "state").rename(tmp_path / "away")
    (tmp_path / "state").write_text("no folder")
    box = durable(path, clock, stored=told.extend)
    box.close_open()
    (ringed,) = box.append([start(name="dog")])
    assert told == [first, ringed]
    (tmp_path / "state").unlink()
    (tmp_path / "away").rename(tmp_path / "state")
    clock.advance(RETRY_S)
    (last,) = box.append([start(name="bird")])
    box.close()
    assert [(one.rule, one.event_type, one.reason, one.log) for one in told] == [
        ("cat", "start", None, earlier.log),
        ("dog", "start", None, ringed.log),
        ("cat", "end", "daemon_restarted", earlier.log),
        ("bird", "start", None, earlier.log),
    ]
    assert told[-1] == last
    again = durable(path, clock, stored=told.extend)
    ended = again.close_open()
    assert sorted(one.rule for one in ended) == ["bird", "dog"]
    assert told[-2:] == list(ended)
    assert box.numbered == 3
    again.close()


def test_answers_that_come_while_the_disk_is_full_are_stored_later(tmp_path: Path) -> None:
    clock = FakeClock(NOW_S)
    path = tmp_path / "outbox.db"
    box = durable(path, clock)
    (event,) = box.append([start()])
    with full_disk(path.with_name("outbox.db-wal").stat().st_size):
        assert box.next(live=True) == event
        box.acknowledge(event)
        box.append(())
        assert list(box.problems) == ["outbox_disk"]
        box.append(())
    clock.advance(RETRY_S)
    box.append(())
    assert box.problems == {}
    box.close()
    rest = sqlite(path, clock)
    assert rest.counts().rows == 0
    rest.close()


def test_the_ring_is_bounded_and_counts_what_it_drops(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    box = durable(tmp_path / "file" / "outbox.db")
    for _ in range(RING_ROWS + 5):
        box.append([start()])
    assert (box.counts().rows, box.counts().dropped) == (RING_ROWS, 5)
    assert box.replay(1) is None
    box.close()


def test_a_path_that_cannot_be_written_at_the_start_is_used_as_soon_as_it_can_be(tmp_path: Path) -> None:
    clock = FakeClock(NOW_S)
    clock.synced = False
    path = tmp_path / "state" / "outbox.db"
    earlier = durable(path, clock)
    earlier.append([start()])
    earlier.close()
    (tmp_path / "state").rename(tmp_path / "away")
    (tmp_path / "state").write_text("no folder")
    box = durable(path, clock)
    assert list(box.problems) == ["outbox_disk"]
    assert str(tmp_path) not in box.problems["outbox_disk"]
    assert list(box.close_open()) == []
    (ringed,) = box.append([start(name="dog")])
    (tmp_path / "state").unlink()
    (tmp_path / "away").rename(tmp_path / "state")
    clock.synced = True
    box.correct_clock()
    clock.advance(RETRY_S)
    box.append(())
    assert (box.problems, box.log) == ({}, earlier.log)
    waiting = [*drained(box, live=True), *drained(box, live=False)]
    told: list[tuple[str, str, int, str]] = [(one.rule, one.event_type, one.seq, one.time.clock) for one in waiting]
    assert told == [
        ("cat", "end", 2, "synced"),
        ("dog", "start", 1, "corrected"),
        ("cat", "start", 1, "corrected"),
    ]
    assert waiting[1].id == ringed.id
    box.close()
    rest = sqlite(path, clock)
    assert [event.rule for event in rest.close_open()] == ["dog"]
    rest.close()


def test_a_folder_in_the_place_of_the_file_is_no_reason_to_stop(tmp_path: Path) -> None:
    box = durable(tmp_path)
    assert "there is no file" in box.problems["outbox_disk"]
    assert len(box.append([start()])) == 1
    box.close()


def test_a_store_that_another_process_holds_is_left_to_it(tmp_path: Path) -> None:
    clock = FakeClock(NOW_S)
    path = tmp_path / "outbox.db"
    first = durable(path, clock)
    second = durable(path, clock)
    assert "another process uses the file" in second.problems["outbox_disk"]
    (event,) = second.append([start()])
    assert event.log != first.log
    first.close()
    clock.advance(RETRY_S)
    second.append(())
    assert (second.problems, second.log) == ({}, first.log)
    second.close()


def test_a_file_of_a_newer_edged_that_appears_later_does_not_stop_the_loop(tmp_path: Path) -> None:
    clock = FakeClock(NOW_S)
    (tmp_path / "state").write_text("no folder")
    box = durable(tmp_path / "state" / "outbox.db", clock)
    (tmp_path / "state").unlink()
    sqlite(tmp_path / "state" / "outbox.db", clock).close()
    content = bytearray((tmp_path / "state" / "outbox.db").read_bytes())
    content[60:64] = (9).to_bytes(4)
    (tmp_path / "state" / "outbox.db").write_bytes(content)
    clock.advance(RETRY_S)
    assert len(box.append([start()])) == 1
    assert "newer edged" in box.problems["outbox_disk"]
    assert (tmp_path / "state" / "outbox.db").read_bytes() == content
    box.close()


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    clock = FakeClock(NOW_S)
    path = small_disk / "outbox.db"
    box = durable(path, clock)
    disk_log = box.log
    ballast = small_disk / "ballast"
    events: list[Event] = []
    with ballast.open("wb", buffering=0) as file:
        free = os.statvfs(small_disk)
        file.write(bytes(free.f_bavail * free.f_bsize))
    while not box.problems:
        assert len(events) < 10_000
        events += box.append([start() for _ in range(10)])
    assert "the disk is full" in box.problems["outbox_disk"]
    ballast.unlink()
    clock.advance(RETRY_S)
    events += box.append([start(clock.monotonic())])
    assert (box.problems, events[-1].log) == ({}, disk_log)
    given = [*drained(box, live=True), *drained(box, live=False)]
    assert sorted(event.id for event in given) == sorted(event.id for event in events)
    box.close()
    rest = sqlite(path, clock)
    on_disk = [event for event in events if event.log == disk_log]
    assert drained(rest, live=False) == on_disk
    assert seqs(on_disk) == list(range(1, len(on_disk) + 1))
    rest.close()
