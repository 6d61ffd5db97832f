"""What lies in an outbox is read, whatever state it was left in, and nothing is changed by that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edged.edges.outbox_reading import Kept, put_aside, read_kept
from edged.edges.outbox_schema import StoreDamaged, StoreUnusable
from tests.outboxes import after_power_cut, drained, sqlite, start


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_no_outbox_is_none(tmp_path: Path) -> None:
    assert read_kept(tmp_path / "outbox.db") is None
    assert list(tmp_path.iterdir()) == []


def test_what_waits_is_counted_after_a_clean_end(tmp_path: Path) -> None:
    store = sqlite(tmp_path / "outbox.db")
    store.append([start(), start(name="dog"), start(name="owl")])
    first, second, _ = drained(store, live=True)
    store.acknowledge(first)
    store.refuse(second)
    store.append([])
    store.close()
    before = contents(tmp_path)
    assert read_kept(tmp_path / "outbox.db") == Kept(waiting=1, set_aside=1, dropped=0)
    assert contents(tmp_path) == before


def test_what_a_power_cut_left_is_left_to_the_next_start(tmp_path: Path) -> None:
    store = sqlite(tmp_path / "outbox.db")
    store.append([start(), start(name="dog")])
    left = after_power_cut(tmp_path / "outbox.db", tmp_path / "left")
    store.close()
    before = contents(left.parent)
    assert any(name.endswith("-wal") for name in before)
    with pytest.raises(StoreUnusable, match="did not end by itself"):
        read_kept(left)
    assert contents(left.parent) == before


def test_what_was_pushed_out_is_counted(tmp_path: Path) -> None:
    store = sqlite(tmp_path / "outbox.db", max_rows=2)
    for name in ("cat", "dog", "owl"):
        store.append([start(name=name)])
    store.close()
    assert read_kept(tmp_path / "outbox.db") == Kept(waiting=2, set_aside=0, dropped=1)


HOLDER = """
import sys
from pathlib import Path
from tests.outboxes import sqlite, start
store = sqlite(Path(sys.argv[1]))
store.append([start()])
print("open", flush=True)
sys.stdin.read()
"""


def test_one_that_another_process_has_is_unusable(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreUnusable, match="another process"):
            read_kept(path)
        holder.kill()


def test_what_is_no_outbox_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(StoreDamaged):
        read_kept(path)


def test_what_was_put_aside_is_named_without_its_journals(tmp_path: Path) -> None:
    for name in ("outbox.db", "outbox.corrupt-20261129T120000Z", "outbox.corrupt-20261129T120000Z-wal"):
        (tmp_path / name).write_bytes(b"")
    assert put_aside(tmp_path / "outbox.db") == ("outbox.corrupt-20261129T120000Z",)
