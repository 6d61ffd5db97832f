"""What was written to a disk, in its order: the log of the kernel's dm-log-writes, as QEMU's blklogwrites writes it.

Source of the format: drivers/md/dm-log-writes.c and its page in the kernel's documentation (device-mapper, log-writes);
QEMU's block/blklogwrites.c. Everything is little-endian. The first sector holds magic, version, the number of entries
and the size of a sector; then each entry takes a sector of its own, and its data follow in whole sectors.

An entry is logged when its write is complete and before the machine is told so. QEMU brings the number in the first
sector up to date now and then, so it is a lower bound; the file itself says how far the log goes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = 0x6A736677736872
VERSION = 1
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
_KNOWN = FLUSH | FUA | DISCARD | MARK
_HEAD = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")


class LogDamaged(ValueError):
    """The file is no log of writes, or QEMU left less in it than it says."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request to the disk.

    Attributes:
        sector: where on the disk, in sectors of the log.
        sectors: how many.
        flags: of FLUSH, FUA, DISCARD, MARK.
        data_at: where its data begin in the log, in bytes.
        end: where the next entry begins, in bytes.
    """

    sector: int
    sectors: int
    flags: int
    data_at: int
    end: int

    @property
    def is_flush(self) -> bool:
        """Everything before it is on the disk when it is complete."""
        return bool(self.flags & FLUSH)

    @property
    def is_write(self) -> bool:
        """It brings data of its own."""
        return self.sectors > 0 and not self.flags & (DISCARD | MARK)


@dataclass(frozen=True, slots=True)
class WriteLog:
    """All that a machine asked of a disk while it was recorded.

    Attributes:
        sector_bytes: the size of a sector.
    """

    path: Path
    sector_bytes: int
    entries: tuple[Entry, ...]

    @property
    def flushes(self) -> list[int]:
        """Which entries are flushes."""
        return [index for index, entry in enumerate(self.entries) if entry.is_flush]


def read_log(path: Path) -> WriteLog:
    """The log in a file that nobody writes any more.

    What a killed QEMU had not written whole is left out: no machine was told that it is complete.

    Raises:
        LogDamaged: see there.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        count, sector_bytes = _head(file.read(_HEAD.size))
        entries: list[Entry] = []
        at = sector_bytes
        while (entry := _entry(file, at, sector_bytes)) is not None and entry.end <= size_bytes:
            entries.append(entry)
            at = entry.end
    if len(entries) < count:
        raise LogDamaged(f"expected at least {count} entries, found {len(entries)} in {size_bytes} bytes")
    return WriteLog(path, sector_bytes, tuple(entries))


def _head(data: bytes) -> tuple[int, int]:
    if len(data) < _HEAD.size:
        raise LogDamaged(f"expected a log of writes, found {len(data)} bytes")
    magic, version, count, sector_bytes = _HEAD.unpack(data)
    if (magic, version) != (MAGIC, VERSION):
        raise LogDamaged(f"expected magic {MAGIC:#x} and version {VERSION}, found {magic:#x} and {version}")
    if sector_bytes < _ENTRY.size or sector_bytes & (sector_bytes - 1):
        raise LogDamaged(f"expected a size of a sector that is a power of two, found {sector_bytes}")
    return count, sector_bytes


def _entry(file: BinaryIO, at: int, sector_bytes: int) -> Entry | None:
    """The entry that begins there; None where none was written (whole)."""
    file.seek(at)
    data = file.read(_ENTRY.size)
    if len(data) < _ENTRY.size or not any(data):  # the place of one that was being written, before a later one
        return None
    sector, sectors, flags, _ = _ENTRY.unpack(data)
    if flags & ~_KNOWN:
        raise LogDamaged(f"expected an entry at byte {at}, found the flags {flags:#x}")
    data_at = at + sector_bytes
    if flags & MARK:  # dm-log-writes has a text there, in the entry's own sector
        return Entry(sector, sectors, flags, at + _ENTRY.size, data_at)
    return Entry(sector, sectors, flags, data_at, data_at + (0 if flags & DISCARD else sectors * sector_bytes))
