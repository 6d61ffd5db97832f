"""The file behind the outbox: opened, checked, brought to this version's tables, or put aside as evidence.

Law: SQL that changes or checks the shape of the database stands here; its content belongs to `outbox_table.py`. What
SQLite or the disk says leaves as `StoreDamaged` or `StoreUnusable`, in words without a path, since they are published.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edged.core.errors import EdgedError
from edged.edges.outbox_place import (
    APPLICATION_ID,
    HEADER_BYTES,
    MAGIC,
    another_program,
    refuse_newer,
)
from edged.edges.outbox_rows import COLUMNS

BUSY_S = 0.2
"""How long the loop may wait for another process to let go of the file."""
CACHE_KIB = 128
PAGE_BYTES = 1024
"""Of a new file. A transaction writes every page that it touches, whole: a quarter of the usual size wears a card a
third as much. A file keeps the size that it was made with."""
CHECKPOINT_PAGES = 256
"""Pages that change at every event are written into the file itself once in so many. From then on, some 50 events after
a start, the journal is written over from its beginning: it does not grow, and spares the file system a journal of its
own for each event."""
JOURNAL_LIMIT_BYTES = 4 << 20

_SIDE_FILES = ("-wal", "-shm", "-journal")
_IN_THE_MAKING = ".new"

_EVENT = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
_PLACE = "state INTEGER NOT NULL, since_s REAL NOT NULL, bytes INTEGER NOT NULL"
_STORE = (
    "log TEXT NOT NULL, last_seq INTEGER NOT NULL, dropped INTEGER NOT NULL, set_aside INTEGER NOT NULL,"
    " age_s REAL NOT NULL, utc_s REAL NOT NULL, clock TEXT NOT NULL"
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    # Format 1. `age_s` and `since_s` are seconds of the store's own age, see `outbox_table.py`.
    (
        f"CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), {_STORE})",
        f"CREATE TABLE events (seq INTEGER PRIMARY KEY, {_EVENT}, {_PLACE})",
        # An index ends with the row's number: this one is in the order of (state, seq).
        "CREATE INDEX events_by_state ON events (state)",
        f"CREATE TABLE open_episodes (seq INTEGER NOT NULL, {_EVENT}, PRIMARY KEY (rule)) WITHOUT ROWID",
    ),
)
"""What makes format n + 1 of format n, statement by statement. Released steps are never changed, only followed."""
FORMAT = len(MIGRATIONS)

_OF_THE_DISK = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the disk is read-only",
    sqlite3.SQLITE_IOERR: "the disk does not take or give data (input/output error)",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or made",
    sqlite3.SQLITE_PERM: "the file may not be used",
    sqlite3.SQLITE_BUSY: "another process uses the file",
    sqlite3.SQLITE_LOCKED: "another process uses the file",
    sqlite3.SQLITE_PROTOCOL: "another process uses the file",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}


class StoreDamaged(EdgedError):
    """The file is no sound database of events (any more). Only a new one can help."""


class StoreUnusable(EdgedError):
    """The disk does not take or give what it should now: full, read-only, missing, in use. It may later."""


@contextmanager
def named_errors() -> Iterator[None]:
    """Turns what SQLite and the disk say into the two errors above. A mistake of this program stays one."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        # A text that is no UTF-8 comes without a code: damage as well.
        text = _OF_THE_DISK.get(getattr(error, "sqlite_errorcode", -1) & 0xFF)
        if text is None:
            raise StoreDamaged(str(error)) from error
        raise StoreUnusable(text) from error
    except ValueError as error:  # what was read makes no sense, or is no UTF-8
        raise StoreDamaged(str(error)) from error
    except OSError as error:
        raise StoreUnusable(error.strerror or type(error).__name__) from error


class _Connection(sqlite3.Connection):
    """A connection with one cursor, so that a statement leaves nothing behind.

    `Connection.execute` makes a cursor a call, and the module remembers up to two hundred of them: a heap that
    wanders by 15 kB. A result is read to its end, or done with, before the next statement begins.
    """

    _cursor: sqlite3.Cursor | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self._cursor is None:
            self._cursor = self.cursor()
        return self._cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        if self._cursor is None:
            self._cursor = self.cursor()
        return self._cursor.executemany(sql, parameters)

    def close(self) -> None:
        """Lets go of the file at once: a cursor with a result that nobody read to its end would hold it."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
        super().close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it is on the disk when this ends, or nothing of it was ever there."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def open_database(path: Path) -> sqlite3.Connection:
    """Opens the file, makes it where there is none, and holds it against every other process.

    Raises:
        StoreDamaged: to be put aside.
        StoreUnusable: to be tried again later.
        StoreForeign: a file that is sound and not ours to write: from a newer edged, or from another program. It is
            left as it was.
    """
    with named_errors():
        if _look(path):
            _make(path)
        connection = _connect(path)
        try:
            _check(connection)
            path.chmod(0o600)
            _configure(connection)
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def put_aside(path: Path, utc_s: float) -> str:
    """Renames a damaged database to `<name>.corrupt-<UTC time>`, journals included, and keeps no older evidence.

    Returns:
        The new name, without its folder.

    Raises:
        StoreUnusable: it cannot be renamed.
    """
    prefix = f"{path.stem}.corrupt-"
    name = f"{prefix}{datetime.fromtimestamp(utc_s, UTC):%Y%m%dT%H%M%SZ}"
    with named_errors():
        for old in path.parent.iterdir():
            if old.name.startswith(prefix):
                old.unlink()
        for suffix in ("", *_SIDE_FILES):
            side = path.with_name(path.name + suffix)
            if side.exists():
                side.rename(path.with_name(name + suffix))
    return name


def _look(path: Path) -> bool:
    """Whether there is no file yet; from the bytes of its header alone, so that a file that is not ours stays as is."""
    if not path.exists():
        return True
    if not path.is_file():
        raise StoreUnusable("what is there is no file")
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if not header:
        raise StoreDamaged("the file is empty")
    version, application_id = (int.from_bytes(header[at : at + 4]) for at in (60, 68))
    if not header.startswith(MAGIC):
        raise StoreDamaged("the file is no database")
    if application_id == APPLICATION_ID:
        refuse_newer(version, FORMAT)
    return False


def _make(path: Path) -> None:
    """A store without events. It has its name when all of it is on the disk: a power cut leaves all of it, or nothing.

    Nobody else can read it; one that root makes belongs to the folder's owner.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(path.name + _IN_THE_MAKING)
    # What an earlier try left; and a journal without its database, which must not be taken for one of the new store.
    for name in (made.name, *(base + suffix for base in (made.name, path.name) for suffix in _SIDE_FILES)):
        path.with_name(name).unlink(missing_ok=True)
    descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)
    with contextlib.closing(_connect(made)) as connection:
        _configure(connection)
        _migrate(connection)
    made.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, factory=_Connection)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StoreDamaged(found)
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise another_program()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    refuse_newer(version, FORMAT)
    if not 0 <= version <= FORMAT:
        raise StoreDamaged(f"its format is {version}")


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreUnusable(f"the disk cannot keep a write-ahead log (found {mode})")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("CREATE TEMP TABLE again (seq INTEGER PRIMARY KEY)")


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == FORMAT:
        return
    with transaction(connection):
        for step in MIGRATIONS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    # The header of the file itself says the format, see `_look`.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
