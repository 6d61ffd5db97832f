"""Whose files and folders are, and who may read them. Looks at their entries and never into them."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from edged.core.service_findings import Possession


def look(path: Path) -> Possession | None:
    """A file or folder; None where there is none.

    What others may do counts only where they may go through all the folders above it.

    Raises:
        PermissionError: this user may not look.
    """
    try:
        found = path.stat()
    except PermissionError:
        raise
    except OSError:
        return None
    mode = stat.S_IMODE(found.st_mode)
    if not _is_open(path.parent):
        mode &= ~stat.S_IRWXO
    return Possession(str(path), user_name(found.st_uid), _group_name(found.st_gid), mode, path.is_dir())


def strangers(folder: Path) -> tuple[str, ...]:
    """The files right in a folder that belong to another user than the folder does: its owner cannot replace them.

    Raises:
        OSError: it cannot be looked at.
    """
    owner = folder.stat().st_uid
    return tuple(
        sorted(entry.name for entry in os.scandir(folder) if entry.stat(follow_symlinks=False).st_uid != owner)
    )


def may_read(path: Path, user: str) -> bool | None:
    """Whether a user may read a file, by its permission bits; None where there is no such user or file."""
    try:
        found, one = path.stat(), pwd.getpwnam(user)
        groups = os.getgrouplist(user, one.pw_gid)
    except (OSError, KeyError):
        return None
    if one.pw_uid in (0, found.st_uid):
        return one.pw_uid == 0 or bool(found.st_mode & stat.S_IRUSR)
    return bool(found.st_mode & (stat.S_IRGRP if found.st_gid in groups else stat.S_IROTH))


def _is_open(folder: Path) -> bool:
    return all(one.stat().st_mode & stat.S_IXOTH for one in (folder, *folder.parents))


def user_name(uid: int) -> str:
    """The name of a user, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def is_read_only(path: Path) -> bool:
    """Whether a folder is on a file system that takes nothing.

    Raises:
        OSError: it cannot be looked at.
    """
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def is_root() -> bool:
    """Whether this process may look at everything."""
    return os.geteuid() == 0
