"""What stands in the place of the outbox, told by reading alone: whether edged may write there.

Law: nothing is made, changed, locked or renamed here, so that `edged check` can ask what `edged run` would find.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from edged.core.errors import EdgedError

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
APPLICATION_ID = 0x65646764  # "edgd"
NEWEST_PLAUSIBLE = 1000
"""A format number beyond this one is damage, not the future."""


class StoreForeign(EdgedError):
    """A file that is not this edged's to write. It stays as it is; the sentence has neither its path nor a key."""


def examine(path: Path, newest: int, *, is_own: bool) -> None:
    """Refuses a file that must not be written. A damaged store is none of them where the place is edged's own.

    Args:
        newest: the newest format that can be read.
        is_own: nobody but edged keeps files at this place, so what is no store (any more) is the remains of one. The
            header of a store that a power cut took cannot say itself whose it was.

    Raises:
        StoreForeign: it is from a newer edged, or from another program.
    """
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:  # not there, or not for this user to see: whoever opens it says so
        return
    is_database = header.startswith(MAGIC)
    version, application_id = (int.from_bytes(header[at : at + 4]) for at in (60, 68))
    if is_database and application_id == APPLICATION_ID:
        refuse_newer(version, newest)
    elif is_database and (not is_own or _has_tables(path)):
        raise another_program()
    elif not is_own:
        raise foreign("a file that is none" if header else "an empty file")


def refuse_newer(version: int, newest: int) -> None:
    """Refuses a format of the future.

    Raises:
        StoreForeign: it is one.
    """
    if newest < version <= NEWEST_PLAUSIBLE:
        raise StoreForeign(
            f"expected an event store of format {newest} or older, found format {version} of a newer edged; install "
            "that edged again, or name another file (this one is left as it is)"
        )


def another_program() -> StoreForeign:
    """For a sound database that no edged made."""
    return foreign("a database of another program")


def foreign(what: str) -> StoreForeign:
    """For what is no event store."""
    return StoreForeign(
        f"expected an event store of edged or no file at all, found {what}; name another file (this one is left as "
        "it is)"
    )


def _has_tables(path: Path) -> bool:
    """Whether a database is more than its header: one that a power cut interrupted at its making has no table."""
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return bool(tables)
    return False
