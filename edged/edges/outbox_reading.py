"""What lies in an outbox, for a person: read while no daemon has it. Makes, changes and locks nothing.

Law: SQLite itself would make or remove files beside a database in WAL mode, whoever opens it. So the file is read as
one that cannot change, and only where that is true: no process has locked it, and nothing waits in its journal.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edged.edges.outbox_schema import StoreUnusable, named_errors

WAITING = 0
"""As `outbox_table.py` numbers the state."""

_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, process
_LOCKS = (0x40000000, 512)  # the bytes by which SQLite locks a database (fileformat2, "The Lock-Byte Page")


@dataclass(frozen=True, slots=True)
class Kept:
    """Numbers of events.

    Attributes:
        waiting: not yet with the broker.
        set_aside: the broker will never take them.
        dropped: pushed out by newer ones since the log began.
    """

    waiting: int
    set_aside: int
    dropped: int


def read_kept(path: Path) -> Kept | None:
    """What is in an outbox; None where there is none yet.

    Raises:
        StoreUnusable: another process has it, it cannot be read, or the process that had it did not end by itself.
        StoreDamaged: it is no sound database.
        PermissionError: this user may not look.
    """
    if not path.exists():
        return None
    with path.open("rb") as file:
        if _is_locked(file.fileno()):
            raise StoreUnusable("another process uses the file")
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists() and journal.stat().st_size:
        raise StoreUnusable("its last user did not end by itself; the next start puts it in order")
    with named_errors():
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
        try:
            dropped, set_aside = connection.execute("SELECT dropped, set_aside FROM store").fetchone() or (0, 0)
            (waiting,) = connection.execute("SELECT count(*) FROM events WHERE state = ?", (WAITING,)).fetchone()
        finally:
            connection.close()
        return Kept(waiting, set_aside, dropped)


def put_aside(path: Path) -> tuple[str, ...]:
    """Names of the damaged databases that were kept as evidence.

    Raises:
        OSError: the folder cannot be looked at.
    """
    folder = path.parent
    names = [one.name for one in folder.iterdir()] if folder.exists() else []
    found = (name for name in names if name.startswith(f"{path.stem}.corrupt-"))
    return tuple(sorted(name for name in found if not name.endswith(("-wal", "-shm", "-journal"))))


def _is_locked(descriptor: int) -> bool:
    """Whether another process would be in the way of a lock; asked without taking one."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *_LOCKS, 0)
    kind: int = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0]
    return kind != fcntl.F_UNLCK
