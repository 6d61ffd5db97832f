"""Crashes that are chosen from a recording, and the disks that they leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recordings import SECTOR_BYTES, record
from tests.vm.crash import BLOCK_BYTES, Crash, Replay, choose
from tests.vm.disks import take_partition
from tests.vm.write_log import DISCARD, FLUSH, FUA, MARK, WriteLog, read_log

A_FLUSH = (0, b"", FLUSH)
PER_BLOCK = BLOCK_BYTES // SECTOR_BYTES


def busy_log(folder: Path, rounds: int = 40, writes: int = 3, flags: int = 0) -> WriteLog:
    """Rounds of writes of two blocks each, a flush after each round."""
    requests = []
    for number in range(rounds):
        place = 1 + 2 * PER_BLOCK * writes * number
        requests += [(place + 2 * PER_BLOCK * one, b"x" * 2 * PER_BLOCK, flags) for one in range(writes)]
        requests.append(A_FLUSH)
    return read_log(record(folder, *requests))


def letters(disk: Path) -> str:
    """The first letter of each sector; a dot for one of zeros."""
    data = disk.read_bytes()
    return data[::SECTOR_BYTES].replace(b"\0", b".").decode()


def blank(folder: Path, sectors: int) -> Path:
    path = folder / "before.img"
    path.write_bytes(bytes(sectors * SECTOR_BYTES))
    return path


def test_half_of_the_crashes_are_just_before_a_flush_that_has_something_to_do(tmp_path: Path) -> None:
    log = busy_log(tmp_path)
    found = choose(log, 40, seed=1)
    assert len(found) == 40
    before = [crash for crash in found if crash.is_before_flush]
    assert len(before) >= 20
    assert all(log.entries[crash.entries].is_flush and not log.entries[crash.entries - 1].is_flush for crash in before)
    moments = [crash.entries for crash in found]
    assert moments == sorted(set(moments))
    assert {crash.entries - crash.settled for crash in found} == {1, 2, 3, 4}


def test_flushes_without_a_write_between_them_are_not_chosen_for_themselves(tmp_path: Path) -> None:
    log = read_log(record(tmp_path, (0, b"a", 0), A_FLUSH, A_FLUSH, A_FLUSH))
    with pytest.raises(ValueError, match="4 entries with 1 flushes are too few for 4 crashes"):
        choose(log, 4, seed=1)


def test_the_same_seed_chooses_the_same_and_another_one_others(tmp_path: Path) -> None:
    log = busy_log(tmp_path)
    assert choose(log, 20, seed=5) == choose(log, 20, seed=5)
    assert choose(log, 20, seed=5) != choose(log, 20, seed=6)


def test_what_a_flush_made_sure_is_never_lost_and_half_of_the_rest_is(tmp_path: Path) -> None:
    log = busy_log(tmp_path, rounds=300)
    found = choose(log, 300, seed=2)
    for crash in found:
        assert crash.settled == max((index for index in log.flushes if index < crash.entries), default=0)
        assert [index for index, _ in crash.arrived] == sorted({index for index, _ in crash.arrived})
        assert all(crash.settled <= index < crash.entries for index, _ in crash.arrived)
    open_to_loss = sum(log.entries[index].is_write for crash in found for index in range(crash.settled, crash.entries))
    lost = sum(crash.lost for crash in found)
    assert 0.4 < lost / open_to_loss < 0.6


def test_a_card_that_forgets_loses_what_was_flushed(tmp_path: Path) -> None:
    log = busy_log(tmp_path)
    for honest, forgetful in zip(choose(log, 40, seed=2), choose(log, 40, seed=2, forgets=9), strict=True):
        assert forgetful.entries == honest.entries
        assert forgetful.settled == max(0, honest.settled - 9)


def test_a_torn_write_arrives_up_to_the_end_of_a_block_of_the_disk(tmp_path: Path) -> None:
    log = busy_log(tmp_path, rounds=300)
    torn = {
        (log.entries[index].sector + sectors) % PER_BLOCK
        for crash in choose(log, 300, seed=3)
        for index, sectors in crash.arrived
        if sectors < log.entries[index].sectors
    }
    assert torn == {0}


@pytest.mark.parametrize("flags", [FUA, FUA | FLUSH])
def test_a_write_with_fua_is_on_the_disk_at_once(tmp_path: Path, flags: int) -> None:
    log = read_log(record(tmp_path, *([(0, b"a", 0), (1, b"b", flags), (2, b"c", 0), A_FLUSH] * 50)))
    for crash in choose(log, 60, seed=4):
        # Of what came after the last flush, everything with FUA is there.
        sure = {index for index in range(crash.settled, crash.entries) if log.entries[index].flags & FUA}
        assert sure <= {index for index, _ in crash.arrived}


def test_a_flush_that_brings_data_makes_sure_of_what_came_before_it_alone(tmp_path: Path) -> None:
    log = read_log(record(tmp_path, *([(0, b"a", 0), (1, b"b", FLUSH)] * 50)))
    crashes = choose(log, 60, seed=4)
    own = [dict(crash.arrived).get(crash.settled) for crash in crashes if log.entries[crash.settled].is_flush]
    assert {None, 1} == set(own)


def test_the_disk_after_a_crash_has_what_was_flushed_and_what_arrived(tmp_path: Path) -> None:
    log = read_log(
        record(
            tmp_path,
            (0, b"ab", 0),
            A_FLUSH,
            (1, b"cde", 0),
            (3, b"f", 0),
            A_FLUSH,
            (0, 2, DISCARD),
            (0, b"", MARK),
            (5, b"g", 0),
        )
    )
    before = blank(tmp_path, 7)
    replay = Replay(log, before, tmp_path)
    assert letters(replay.after(Crash(1, 0, ()))) == "......."
    assert letters(replay.after(Crash(1, 0, ((0, 1),)))) == "a......"
    assert letters(replay.after(Crash(2, 1, ((1, 0),)))) == "ab....."
    assert letters(replay.after(Crash(4, 1, ((1, 0), (2, 2))))) == "acd...."
    assert letters(replay.after(Crash(4, 1, ((1, 0), (3, 1))))) == "ab.f..."
    assert letters(replay.after(Crash(7, 4, ((4, 0), (5, 2), (6, 0))))) == "..df..."
    assert letters(replay.after(Crash(8, 4, ((4, 0), (7, 1))))) == "acdf.g."
    with pytest.raises(ValueError, match="expected a crash after entry 4"):
        replay.after(Crash(2, 1, ()))
    replay.close()
    assert [path.name for path in tmp_path.iterdir()] == ["writes.log"]


def test_a_disk_may_be_written_to_without_a_trace_in_the_next_one(tmp_path: Path) -> None:
    log = busy_log(tmp_path, rounds=2)
    replay = Replay(log, blank(tmp_path, 100), tmp_path)
    disk = replay.after(Crash(4, 3, ((3, 0),)))
    whole = letters(disk)
    disk.write_bytes(b"z" * 100 * SECTOR_BYTES)
    assert letters(replay.after(Crash(4, 3, ((3, 0),)))) == whole


def test_of_a_partition_what_lies_before_it_is_left_out(tmp_path: Path) -> None:
    log = read_log(record(tmp_path, (0, b"a", 0), (4, b"b", 0), (6, b"c", 0), A_FLUSH))
    disk, partition = blank(tmp_path, 8), tmp_path / "partition.img"
    disk.write_bytes(b"x" * 4 * SECTOR_BYTES + b"y" * 4 * SECTOR_BYTES)
    take_partition(disk, 4 * SECTOR_BYTES, partition)
    assert letters(partition) == "yyyy"
    replay = Replay(log, partition, tmp_path, offset_bytes=4 * SECTOR_BYTES)
    assert letters(replay.after(Crash(4, 3, ()))) == "bycy"
