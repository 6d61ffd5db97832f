"""Files that are whole after a power cut: the old bytes or the new ones.

Law: the only place that writes files.
"""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, data: bytes, mode: int) -> None:
    """Puts a file in its place by a rename, on a file system that renames atomically, as ext4 does.

    Raises:
        OSError: it could not be written; the old file is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
    _sync_folder(path.parent)


def comment_out(path: Path, data: bytes) -> None:
    """Writes over a file in place, for FAT, which has no atomic rename: nothing of it moves, grows or is deleted.

    Lines may differ from what is there only by having become comments. "#" is written first, by itself: after a
    power cut anywhere, each line is what it was or a comment.

    Raises:
        OSError: it could not be written.
        ValueError: the file is not as long as `data`: somebody else has changed it.
    """
    with path.open("r+b") as file:
        old = file.read()
        if len(old) != len(data):
            raise ValueError(f"{path} has changed while it was read")
        for content in steps(old, data):
            file.seek(0)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def steps(old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """What is written, one after the other: the old bytes with the "#" of each new comment; the new bytes."""
    marks = bytearray(old)
    at = 0
    for before, after in zip(old.split(b"\n"), new.split(b"\n"), strict=True):
        if before != after:
            marks[at + after.index(b"#")] = ord("#")
        at += len(after) + 1
    return bytes(marks), new


def write_on_fat(path: Path, data: bytes) -> None:
    """Writes a file that may be lost in a power cut, because it is written again at the next start."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
