"""The recording of a disk's writes: what is read of it, whole and cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recordings import SECTOR_BYTES, head, record
from tests.vm.write_log import DISCARD, FLUSH, FUA, MARK, LogDamaged, read_log


def test_every_kind_of_entry_is_read_with_its_place(tmp_path: Path) -> None:
    log = read_log(
        record(
            tmp_path, (8, b"ab", 0), (0, b"", FLUSH), (3, b"c", FUA), (64, 16, DISCARD), (0, b"", MARK), (9, b"d", 0)
        )
    )
    assert [(entry.sector, entry.sectors, entry.flags) for entry in log.entries] == [
        (8, 2, 0),
        (0, 0, FLUSH),
        (3, 1, FUA),
        (64, 16, DISCARD),
        (0, 0, MARK),
        (9, 1, 0),
    ]
    assert [entry.is_write for entry in log.entries] == [True, False, True, False, False, True]
    assert log.flushes == [1]
    # A sector for each entry, after that of the head; what is discarded has no data.
    assert [entry.end // SECTOR_BYTES for entry in log.entries] == [4, 5, 7, 8, 9, 11]
    data = log.path.read_bytes()
    first = log.entries[0]
    assert data[first.data_at : first.end] == b"a" * SECTOR_BYTES + b"b" * SECTOR_BYTES


@pytest.mark.parametrize("cut_bytes", [1, SECTOR_BYTES, SECTOR_BYTES + 1, 2 * SECTOR_BYTES, 3 * SECTOR_BYTES - 1])
def test_what_a_killed_recorder_had_not_written_whole_is_left_out(tmp_path: Path, cut_bytes: int) -> None:
    path = record(tmp_path, (8, b"a", 0), (9, b"bc", 0), count=1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut_bytes])
    assert [entry.sector for entry in read_log(path).entries] == [8]


def test_a_place_that_was_not_written_ends_the_log_although_more_follows(tmp_path: Path) -> None:
    path = record(tmp_path, (8, b"a", 0), (9, b"b", 0), (10, b"c", 0), count=1)
    data = bytearray(path.read_bytes())
    data[3 * SECTOR_BYTES : 5 * SECTOR_BYTES] = bytes(2 * SECTOR_BYTES)
    path.write_bytes(data)
    assert [entry.sector for entry in read_log(path).entries] == [8]


def test_a_log_with_less_than_its_head_says_is_damaged(tmp_path: Path) -> None:
    path = record(tmp_path, (8, b"a", 0), (9, b"b", 0))
    path.write_bytes(path.read_bytes()[: -SECTOR_BYTES - 1])
    with pytest.raises(LogDamaged, match="expected at least 2 entries, found 1"):
        read_log(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "found 0 bytes"),
        (bytes(SECTOR_BYTES), "expected magic 0x6a736677736872"),
        (head(0, version=2), "and version 1, found 0x6a736677736872 and 2"),
        (head(0, sector_bytes=500), "a power of two, found 500"),
        (head(0, sector_bytes=16), "a power of two, found 16"),
        (head(0) + b"\xff" * SECTOR_BYTES, "found the flags"),
    ],
)
def test_what_is_no_log_is_told_in_one_sentence(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    with pytest.raises(LogDamaged, match=message):
        read_log(path)
