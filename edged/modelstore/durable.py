"""Files that are there whole or not at all, also after a power cut.

Law: nothing is ever written in place: the new content goes beside it, down to the disk, and takes the name. What root
makes belongs to the folder's owner, so that the service can replace it later.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

READABLE = 0o644


def write(path: Path, content: bytes) -> None:
    """Makes or replaces a file.

    Raises:
        OSError: it cannot; what was there is as it was.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            settle(file.fileno(), path.parent)
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    sync_folder(path.parent)


def settle(descriptor: int, folder: Path, mode: int = READABLE) -> None:
    """Gives an open file of a folder its mode and owner, and sees to it that its content is on the disk."""
    os.fchmod(descriptor, mode)
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    os.fsync(descriptor)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    own(folder)
    sync_folder(folder.parent)


def own(folder: Path, mode: int | None = None) -> None:
    """Gives a new folder to the owner of the one that it is in, and a mode where one is given.

    That owner may have put a link in its place meanwhile, so the folder is opened first, and no link is followed.

    Raises:
        OSError: it is no folder any more.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if mode is not None:
            os.fchmod(descriptor, mode)
        if os.geteuid() == 0:
            owner = folder.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """The names in a folder are on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
