"""What is on a disk after the power went: the file system by e2fsck, and the outbox by SQLite and by edged itself."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.outboxes import NOW_S, durable, start

DATABASE = "outbox.db"
_Row = tuple[int, str, str, str, str | None]
E2FSCK_MENDED = 1
"""e2fsck(8): "File system errors corrected"; also after nothing but a replay of the journal."""

# What a start of the machine would do by itself: replay the journal, drop what was being deleted, count anew. The
# feature orphan_present is set as long as a file system with a file of orphans is mounted (ext4(5), orphan_file).
_HARMLESS = re.compile(
    r"e2fsck .*|.*: recovering journal|Pass \d.*|Clearing orphaned inode .*|Truncating orphaned inode .*"
    r"|Feature orphan_present is set but orphan file is clean\.|Clear\? yes"
    r"|Setting free (?:blocks|inodes) count to .*|Free (?:blocks|inodes) count wrong .*|Fix\? yes|"
    r"|.*: \*{5} FILE SYSTEM WAS MODIFIED \*{5}|.*: \d+/\d+ files .*, \d+/\d+ blocks"
)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What was found.

    Attributes:
        e2fsck: its exit status.
        repairs: what it did beyond what a start does by itself.
        integrity: SQLite's word on the database; "ok", also where there is none yet.
        ids: of every row, by its number.
        last_seq: the number that the store gave last.
        dropped: how many events the bounds pushed out.
        open_rules: those whose last event is a start.
        closed_rules: those that edged ended when it opened the outbox after that.
        restarted: numbers of the ends that an earlier start made, and their rules.
        next_seq: the first number that edged gave after that.
        problems: what edged said about the store.
    """

    e2fsck: int
    repairs: tuple[str, ...]
    integrity: str
    ids: dict[int, str]
    last_seq: int
    dropped: int
    open_rules: set[str]
    closed_rules: set[str]
    restarted: dict[int, str]
    next_seq: int
    problems: dict[str, str]

    def faults(self, seen: dict[int, str]) -> list[str]:
        """Everything that is wrong, in words.

        Args:
            seen: the events that somebody had got by then, id by number.
        """
        lost = [seq for seq, id_ in sorted(seen.items()) if self.ids.get(seq) != id_]
        holes = sorted(set(range(1, self.last_seq + 1)) ^ set(self.ids))
        checks = {
            f"e2fsck ended with {self.e2fsck}": self.e2fsck > E2FSCK_MENDED,
            f"e2fsck repaired: {' / '.join(self.repairs)}": bool(self.repairs),
            f"integrity: {self.integrity}": self.integrity != "ok",
            f"{self.dropped} events were dropped": self.dropped > 0,
            f"numbers that are missing, or beyond the last one: {holes}": bool(holes),
            f"seen and not stored: {lost}": bool(lost),
            "what was open was not closed": self.closed_rules != self.open_rules,
            f"after {self.last_seq} came {self.next_seq}": self.next_seq != self.last_seq + 1,
            f"edged said {self.problems}": bool(self.problems),
        }
        return [text for text, is_wrong in checks.items() if is_wrong]


def examine(partition: Path, place: str, folder: Path) -> Aftermath:
    """Checks the file system in a file, and mends it; then reads the outbox in it.

    Args:
        place: the folder of the outbox in the file system.
        folder: for copies of the database; what is in it is removed.
    """
    status, repairs = check_file_system(partition)
    database = _take(partition, place, folder)
    integrity, rows, last_seq, dropped = _read(database)
    box = durable(database)
    try:
        closed = {event.rule for event in box.close_open()}
        (event,) = box.append([start(NOW_S, "afterwards")])
        problems = dict(box.problems)
    finally:
        box.close()
    latest = {rule: event_type for _, _, rule, event_type, _ in rows}
    return Aftermath(
        e2fsck=status,
        repairs=repairs,
        integrity=integrity,
        ids={seq: id_ for seq, id_, *_ in rows},
        last_seq=last_seq,
        dropped=dropped,
        open_rules={rule for rule, event_type in latest.items() if event_type == "start"},
        closed_rules=closed,
        restarted={seq: rule for seq, _, rule, _, reason in rows if reason == "daemon_restarted"},
        next_seq=event.seq - len(closed),
        problems=problems,
    )


def check_file_system(partition: Path) -> tuple[int, tuple[str, ...]]:
    """e2fsck's exit status, and what it repaired that a start of the machine would not do by itself."""
    done = subprocess.run(["e2fsck", "-f", "-y", partition], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (*done.stdout.splitlines(), *done.stderr.splitlines())]
    return done.returncode, tuple(line for line in lines if not _HARMLESS.fullmatch(line))


def _take(partition: Path, source: str, folder: Path) -> Path:
    """The database and what lies beside it, out of a file system that nobody mounted."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    listing = subprocess.run(
        ["debugfs", "-R", f"ls -p {source}", partition], capture_output=True, text=True, check=True
    )
    names = [line.split("/")[5] for line in listing.stdout.splitlines() if line.startswith("/")]
    for name in names:
        if name.startswith(DATABASE) and not name.endswith("-shm"):  # shared memory is made anew
            command = ["debugfs", "-R", f"dump {source}/{name} {folder / name}", partition]
            subprocess.run(command, capture_output=True, check=True)
    return folder / DATABASE


def _read(database: Path) -> tuple[str, list[_Row], int, int]:
    """SQLite's word, every row, the last number given, and how many were dropped."""
    if not database.exists():
        return "ok", [], 0, 0
    copy = database.with_name("read") / database.name
    shutil.copytree(database.parent, copy.parent)
    try:
        with contextlib.closing(sqlite3.connect(copy)) as store:
            (integrity,) = store.execute("PRAGMA integrity_check").fetchone()
            if not store.execute("SELECT count(*) FROM sqlite_master WHERE name = 'store'").fetchone()[0]:
                return integrity, [], 0, 0
            rows = store.execute("SELECT seq, id, rule, event_type, reason FROM events ORDER BY seq").fetchall()
            return integrity, rows, *(store.execute("SELECT last_seq, dropped FROM store").fetchone() or (0, 0))
    except sqlite3.DatabaseError as error:
        return str(error), [], 0, 0
