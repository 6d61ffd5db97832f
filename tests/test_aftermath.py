"""What is found on a disk after a crash: that a sound one passes, and that each kind of harm is seen."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.conftest import EMULATED
from tests.outboxes import end, sqlite, start
from tests.vm.aftermath import DATABASE, Aftermath, check_file_system, examine
from tests.vm.disks import format_disk

PLACE = "/var/lib/edged/test"

pytestmark = [
    pytest.mark.skipif(EMULATED, reason="the programs of e2fsprogs are this machine's own"),
    pytest.mark.skipif(shutil.which("debugfs", path="/usr/sbin:/sbin") is None, reason="no e2fsprogs on this machine"),
]


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    # Debian puts them in sbin, which is not on every user's PATH.
    monkeypatch.setenv("PATH", "/usr/sbin:/sbin", prepend=":")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What is on the disk: an outbox of three events whose process has not ended it."""
    tree = tmp_path / "tree"
    box = sqlite(tmp_path / "running" / DATABASE)
    box.append([start(name="dog")])
    box.append([end(name="dog"), start(name="cat")])
    shutil.copytree(tmp_path / "running", tree / PLACE[1:])
    box.close()
    return tree


def stored(tree: Path) -> dict[int, str]:
    """The events in the outbox, id by number."""
    copy = tree.parent / "stored"
    shutil.copytree(tree / PLACE[1:], copy)
    with contextlib.closing(sqlite3.connect(copy / DATABASE)) as store:
        return dict(store.execute("SELECT seq, id FROM events").fetchall())


def change(tree: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(tree / PLACE[1:] / DATABASE)) as store:
        store.execute(sql)
        store.commit()


def examined(tree: Path) -> Aftermath:
    disk = tree.parent / "disk.img"
    format_disk(tree, disk)
    return examine(disk, PLACE, tree.parent / "outbox")


def test_a_sound_disk_has_no_fault(tree: Path) -> None:
    aftermath = examined(tree)
    assert aftermath.faults(stored(tree)) == []
    assert sorted(aftermath.ids) == [1, 2, 3]
    assert (aftermath.last_seq, aftermath.next_seq) == (3, 4)
    assert aftermath.open_rules == {"cat"}


def test_a_disk_without_an_outbox_has_no_fault_unless_an_event_was_seen(tree: Path) -> None:
    for file in (tree / PLACE[1:]).iterdir():
        file.unlink()
    aftermath = examined(tree)
    assert aftermath.faults({}) == []
    assert aftermath.faults({1: "a"}) == ["seen and not stored: [1]"]


def test_a_disk_without_the_folder_is_one_without_an_outbox(tree: Path) -> None:
    shutil.rmtree(tree / "var")
    assert examined(tree).faults({}) == []


def test_an_event_that_was_seen_and_is_another_one_is_lost(tree: Path) -> None:
    aftermath, seen = examined(tree), stored(tree)
    assert aftermath.faults({**seen, 2: "another"}) == ["seen and not stored: [2]"]
    assert aftermath.faults({**seen, 4: "later"}) == ["seen and not stored: [4]"]


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("DELETE FROM events WHERE seq = 2", "numbers that are missing, or beyond the last one: [2]"),
        ("DELETE FROM events WHERE seq = 3", "numbers that are missing, or beyond the last one: [3]"),
        ("UPDATE store SET dropped = 7", "7 events were dropped"),
        ("DELETE FROM open_episodes", "what was open was not closed"),
    ],
)
def test_an_outbox_that_does_not_add_up_is_told(tree: Path, sql: str, fault: str) -> None:
    change(tree, sql)
    assert fault in examined(tree).faults({})


def test_a_damaged_database_is_told(tree: Path) -> None:
    change(tree, "PRAGMA wal_checkpoint(TRUNCATE)")
    database = tree / PLACE[1:] / DATABASE
    for name in (f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (database.parent / name).unlink(missing_ok=True)
    data = bytearray(database.read_bytes())
    data[4096:] = b"\x5a" * (len(data) - 4096)
    database.write_bytes(data)
    faults = examined(tree).faults(dict.fromkeys([1], "a"))
    assert any(fault.startswith("integrity: ") for fault in faults)
    assert any("outbox_damaged" in fault for fault in faults)


def test_a_file_system_that_was_not_put_away_is_no_fault_and_a_broken_one_is(tree: Path) -> None:
    disk = tree.parent / "disk.img"
    format_disk(tree, disk)
    assert check_file_system(disk) == (0, ())
    subprocess.run(
        ["debugfs", "-w", "-R", "set_super_value free_blocks_count 7", disk], check=True, capture_output=True
    )
    assert check_file_system(disk) == (1, ())
    subprocess.run(["debugfs", "-w", "-R", f"clri {PLACE}", disk], check=True, capture_output=True)
    status, repairs = check_file_system(disk)
    assert status == 1
    assert any("deleted/unused inode" in repair for repair in repairs)
