"""Made-up recordings of a disk's writes, as bytes written by hand from the description of the format."""

from __future__ import annotations

import struct
from pathlib import Path

SECTOR_BYTES = 512
MAGIC = 0x6A736677736872


def head(count: int, version: int = 1, sector_bytes: int = SECTOR_BYTES) -> bytes:
    """The first sector of a log."""
    return struct.pack("<QQQI", MAGIC, version, count, sector_bytes).ljust(SECTOR_BYTES, b"\0")


def record(folder: Path, *requests: tuple[int, bytes | int, int], count: int | None = None) -> Path:
    """A log of requests (sector, content, flags).

    Args:
        requests: content is a letter for each sector, which is filled with it; for a discard, the number of sectors.
        count: what the head says; left out: how many there are.
    """
    data = bytearray(head(len(requests) if count is None else count))
    for sector, content, flags in requests:
        sectors = content if isinstance(content, int) else len(content)
        data += struct.pack("<QQQQ", sector, sectors, flags, 0).ljust(SECTOR_BYTES, b"\0")
        if not isinstance(content, int):
            data += b"".join(bytes([letter]) * SECTOR_BYTES for letter in content)
    path = folder / "writes.log"
    path.write_bytes(data)
    return path
