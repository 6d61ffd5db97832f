"""The power goes at some moment of a recording: which moments, what of the unflushed is lost, and the disk after it.

What a disk promises: a write that was complete before a flush began is on it when the flush is complete; a write with
FUA is on it at once. Of the others each may have arrived, or not, or in part: in whole blocks, as the pages of a card
are. The model leaves out what no file system stands: a block that is half old and half new.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tests.vm.disks import copy_disk, make_equal
from tests.vm.write_log import DISCARD, FUA, Entry, WriteLog

BLOCK_BYTES = 4096
"""What arrives whole or not at all."""
LOST, TORN = 0.5, 0.125
"""How likely an unflushed write is lost, and how likely it arrives in part."""


@dataclass(frozen=True, slots=True)
class Crash:
    """One moment at which the power goes, and what is on the disk then.

    Attributes:
        entries: how many entries of the log were complete.
        settled: how many of them the last flush had made sure.
        arrived: of the others, those that are on the disk all the same, and how many of its first sectors.
        lost, torn: how many writes are not on the disk, or not whole.
        is_before_flush: the next request would have been a flush.
    """

    entries: int
    settled: int
    arrived: tuple[tuple[int, int], ...]
    lost: int = 0
    torn: int = 0
    is_before_flush: bool = False


def choose(log: WriteLog, count: int, seed: int, forgets: int = 0) -> list[Crash]:
    """So many crashes in the order of their moments: half just before a flush that has something to do, half anywhere.

    Args:
        forgets: how many requests from before the last flush are open to loss as well, on a card that does not keep
            what it said it has.

    Raises:
        ValueError: there are not so many such moments.
    """
    chance = random.Random(seed)
    wanted = [index for index in log.flushes if index and not log.entries[index - 1].is_flush]
    if len(wanted) < count // 2 or len(log.entries) < count:
        raise ValueError(f"{len(log.entries)} entries with {len(wanted)} flushes are too few for {count} crashes")
    before = set(chance.sample(wanted, count // 2))
    others = [index for index in range(1, len(log.entries) + 1) if index not in before]
    moments = sorted([*before, *chance.sample(others, count - len(before))])
    flushes, found = log.flushes, []
    for moment in moments:
        past = bisect_left(flushes, moment)
        settled = max(0, flushes[past - 1] - forgets) if past else 0
        arrived = tuple(_arrived(log, settled, moment, chance))
        lost = moment - settled - len(arrived)
        torn = sum(sectors < log.entries[index].sectors for index, sectors in arrived)
        found.append(Crash(moment, settled, arrived, lost, torn, flushes[past : past + 1] == [moment]))
    return found


def _arrived(log: WriteLog, settled: int, moment: int, chance: random.Random) -> list[tuple[int, int]]:
    """Each write from a flush on, but for what is lost of it. A flush that brings data makes sure of others' alone."""
    block = BLOCK_BYTES // log.sector_bytes
    found = []
    for index in range(settled, moment):
        entry = log.entries[index]
        if entry.flags & FUA or not (entry.is_write or entry.flags & DISCARD):
            found.append((index, entry.sectors))
            continue
        fate = chance.random()
        # The places where it may be torn: between the blocks of the disk, not of the write.
        first = entry.sector - entry.sector % block + block
        seams = range(first - entry.sector, entry.sectors, block)
        if fate < LOST:
            continue
        torn = fate < LOST + TORN and len(seams) > 0 and entry.is_write
        found.append((index, chance.choice(seams) if torn else entry.sectors))
    return found


class Replay:
    """Partitions after crashes, made one after the other from a recording; the moments must not go backwards.

    Two files are kept, and only what differs is written: a card is large and what happens on it is small.

    Args:
        partition: what it was when the recording began; becomes what it is at the last flush.
        folder: for a copy of it.
        offset_bytes: where it begins on the disk. What was written before that is left out.
    """

    def __init__(self, log: WriteLog, partition: Path, folder: Path, offset_bytes: int = 0) -> None:
        self._log, self._offset_bytes = log, offset_bytes
        self._settled, self._crashed = partition, folder / "crashed.img"
        self._done = 0
        copy_disk(self._settled, self._crashed)

    def after(self, crash: Crash) -> Path:
        """What the machine would find at its next start. Borrowed until the next call; may be written to."""
        if crash.settled < self._done:
            raise ValueError(
                f"expected a crash after entry {self._done}, found one whose last flush is {crash.settled}"
            )
        self._write(
            self._settled, [(index, self._log.entries[index].sectors) for index in range(self._done, crash.settled)]
        )
        self._done = crash.settled
        make_equal(self._crashed, self._settled)
        self._write(self._crashed, crash.arrived)
        return self._crashed

    def close(self) -> None:
        """Removes both files."""
        for partition in (self._settled, self._crashed):
            partition.unlink(missing_ok=True)

    def _write(self, partition: Path, arrived: Sequence[tuple[int, int]]) -> None:
        with self._log.path.open("rb") as log, partition.open("r+b") as file:
            for index, sectors in arrived:
                self._bring(log, file, self._log.entries[index], sectors)

    def _bring(self, log: BinaryIO, partition: BinaryIO, entry: Entry, sectors: int) -> None:
        length = sectors * self._log.sector_bytes
        if entry.flags & DISCARD:
            data = bytes(length)  # what was discarded has any content
        elif entry.is_write:
            log.seek(entry.data_at)
            data = log.read(length)
        else:
            return
        at = entry.sector * self._log.sector_bytes - self._offset_bytes
        if at >= 0:
            partition.seek(at)
            partition.write(data)
