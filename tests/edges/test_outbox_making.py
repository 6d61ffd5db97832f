"""A store that is made: whatever ends the process or the power, it is there whole, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.outboxes import durable, seqs, sqlite, start

ROOT = Path(__file__).parent.parent.parent

MAKING = """
import os, sys
from pathlib import Path
from tests.outboxes import sqlite

def end_at(step):
    steps = 0
    def count(event, arguments):
        nonlocal steps
        if event == "open" or event.startswith(("os.", "sqlite3.")):
            steps += 1
            if steps == step:
                os._exit(1)
    sys.addaudithook(count)

for step in range(1, 1000):
    child = os.fork()
    if not child:
        path = Path(sys.argv[1]) / str(step) / "outbox.db"
        end_at(step)
        sqlite(path)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        print(step)
        break
"""


def test_a_process_that_ends_while_it_makes_the_store_leaves_nothing_or_all_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKING, str(tmp_path)]
    steps = int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert steps > 3
    for step in range(1, steps + 1):
        path = tmp_path / str(step) / "outbox.db"
        box = durable(path)
        assert (step, box.problems) == (step, {})
        assert seqs(list(box.append([start()]))) == [1]
        box.close()
        assert [file.name for file in path.parent.iterdir()] == ["outbox.db"]


def test_a_journal_without_its_database_is_not_taken_for_one_of_the_new_store(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    box = sqlite(path)
    box.append([start()])
    journal = path.with_name("outbox.db-wal").read_bytes()
    box.close()
    path.unlink()
    for name in ("outbox.db-wal", "outbox.db.new", "outbox.db.new-wal"):
        path.with_name(name).write_bytes(journal)
    box = durable(path)
    assert (box.problems, box.counts().rows) == ({}, 0)
    assert seqs(list(box.append([start()]))) == [1]
    box.close()
