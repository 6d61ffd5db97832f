"""A database that is damaged, from the future, from another program, or from the past."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.edges.outbox_place import StoreForeign
from edged.edges.outbox_schema import FORMAT, StoreDamaged
from tests.fakes import FakeClock
from tests.outboxes import NOW_S, drained, durable, end, seqs, sqlite, start

ROWS = 300


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def filled(path: Path, rows: int = ROWS) -> str:
    """A store with a backlog, and its log."""
    box = sqlite(path)
    box.append([start() for _ in range(rows)])
    box.close()
    return box.log


def overwritten(content: bytes) -> bytes:
    chance = random.Random(7)
    middle = len(content) // 2
    return content[:middle] + chance.randbytes(8192) + content[middle + 8192 :]


DAMAGES = {
    "overwritten": overwritten,
    "its beginning overwritten": lambda content: b"\xff" * 4096 + content[4096:],
    "truncated": lambda content: content[: len(content) // 3],
    "a piece of its header": lambda content: content[:60],
    "empty": lambda content: b"",
    "a text": lambda content: b"this is not a database\n" * 100,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_kept_as_evidence_and_replaced_under_a_new_log(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "outbox.db"
    log = filled(path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    evidence = path.read_bytes()
    clock = FakeClock(NOW_S)
    box = durable(path, clock)
    assert list(box.problems) == ["outbox_damaged"]
    assert box.log != log
    assert seqs(list(box.append([start()]))) == [1]
    assert box.counts().rows == 1
    (kept,) = tmp_path.glob("outbox.corrupt-*")
    assert kept.name == "outbox.corrupt-20270115T081640Z"
    assert kept.name in box.problems["outbox_damaged"]
    assert str(tmp_path) not in box.problems["outbox_damaged"]
    assert kept.read_bytes() == evidence
    box.close()
    new = durable(path)
    assert (new.problems, new.log, seqs(drained(new, live=False))) == ({}, box.log, [1])
    new.close()


def test_only_the_newest_evidence_is_kept_with_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    clock = FakeClock(NOW_S)
    for number in range(3):
        path.write_bytes(b"broken %d" % number)
        path.with_name("outbox.db-wal").write_bytes(b"journal %d" % number)
        durable(path, clock).close()
        clock.advance(5)
    (kept, journal) = sorted(tmp_path.glob("outbox.corrupt-*"))
    assert (kept.read_bytes(), journal.read_bytes()) == (b"broken 2", b"journal 2")
    assert journal.name == f"{kept.name}-wal"


def test_damage_found_while_running_loses_nothing_that_is_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    old = filled(path, rows=5000)  # more than the cache holds
    clock = FakeClock(NOW_S)
    box = durable(path, clock)
    flying, waiting = box.append([start(), start()])
    assert box.next(live=True) == flying
    # Another program writes over the file while it is open.
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    late = drained(box, live=False)
    assert len(late) < 5000
    assert list(box.problems) == ["outbox_damaged"]
    assert box.log != old
    (event,) = box.append([start()])
    assert (event.log, event.seq) == (box.log, 1)
    box.release()
    assert drained(box, live=True) == [flying, waiting, event]
    assert drained(box, live=False) == late
    clock.advance(31)
    box.release()
    assert drained(box, live=False) == [*late, flying, waiting, event]
    for one in (*late, flying, waiting, event):
        box.acknowledge(one)
    box.append(())
    assert (box.counts().rows, box.acknowledged) == (0, len(late) + 3)
    box.close()


@pytest.mark.parametrize(
    "change",
    [
        "score = 'much'",
        "score = 9e999",
        "rule = 'a/#'",
        "rule = x'ff'",
        "utc_s = 1e300",
        "clock = 'sinced'",
        "state = 7",
        "since_s = 'long'",
        "bytes = 0",
        "seq = -1",
        "event_type = 'begin'",
        "frame_age_ms = 1.5",
        "reason = x'00'",
    ],
)
def test_a_row_that_makes_no_sense_is_damage_and_never_an_event(tmp_path: Path, change: str) -> None:
    """quick_check sees the structure, not a bit that flipped in a value."""
    path = tmp_path / "outbox.db"
    log = filled(path, rows=3)
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE events SET {change} WHERE seq = 2")
    connection.commit()
    connection.close()
    box = durable(path)
    assert drained(box, live=False) == []
    assert list(box.problems) == ["outbox_damaged"]
    assert box.log != log
    box.close()


@given(st.integers(0, 2**32), st.integers(1, 20_000))
def test_whatever_is_overwritten_the_daemon_starts_and_numbers_go_on(
    tmp_path_factory: pytest.TempPathFactory, where: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("damage") / "outbox.db"
    log = filled(path)
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)
    length = chance.choice((1, 40, 4096, 20_000))
    # Not the two words of the header by which a file of a newer edged or of another program is told.
    where = 100 + where % (len(content) - 100)
    content[where : where + length] = chance.randbytes(len(content[where : where + length]))
    path.write_bytes(content)
    box = durable(path)
    (event,) = box.append([start()])
    drained(box, live=False)
    box.append([end()])
    assert box.counts().last_seq in (1, 2, ROWS + 2)
    assert event.log in (log, box.log)
    assert set(box.problems) <= {"outbox_damaged"}
    box.close()


def test_a_database_of_a_newer_edged_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.commit()
    connection.close()
    path.chmod(0o640)
    before, status = contents(path), path.stat()
    with pytest.raises(StoreForeign, match=rf"format {FORMAT + 1} of a newer edged; install that edged again") as error:
        durable(path)
    assert str(tmp_path) not in str(error.value)
    assert contents(path) == before
    assert (path.stat().st_mtime_ns, path.stat().st_mode) == (status.st_mtime_ns, status.st_mode)


def test_a_database_of_another_program_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE states (state TEXT)")
    connection.commit()
    connection.close()
    before = contents(path)
    with pytest.raises(StoreForeign, match="a database of another program; name another file"):
        durable(path)
    assert contents(path) == before


def test_a_database_without_tables_is_brought_to_this_format(tmp_path: Path) -> None:
    """Format 0, what a crash between making the file and its first transaction leaves: the way of every migration."""
    path = tmp_path / "outbox.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert path.stat().st_size > 0
    box = durable(path)
    assert box.problems == {}
    box.append([start()])
    box.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    connection.close()


def test_a_store_whose_numbers_are_gone_is_damaged(tmp_path: Path) -> None:
    """Otherwise numbers of the same log would be given twice."""
    path = tmp_path / "outbox.db"
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM store")
    connection.commit()
    connection.close()
    with pytest.raises(StoreDamaged, match="numbers are gone"):
        sqlite(path)
