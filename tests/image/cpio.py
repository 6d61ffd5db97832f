"""Reads a cpio archive in the format "newc"."""

from __future__ import annotations


def unpacked(archive: bytes) -> dict[str, bytes]:
    """Name -> content."""
    files: dict[str, bytes] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, length = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        start = (at + 110 + length + 3) & ~3
        if name == "TRAILER!!!":
            return files
        files[name] = archive[start : start + size]
        at = (start + size + 3) & ~3
