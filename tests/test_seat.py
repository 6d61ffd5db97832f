"""The seat lets go of a model beside the loop."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from edged.core.stats import Ring
from edged.core.types import ModelSpec
from edged.edges import memory
from edged.seat import Seat
from tests.conftest import EMULATED
from tests.fakes import REGION

PAGE = mmap.PAGESIZE


@dataclass
class Occupant:
    """A model, as far as the seat knows one."""

    spec: ModelSpec
    closed: list[str] = field(default_factory=list)
    regions, threads, classifier = (REGION,), 1, None

    @property
    def interpreter(self):
        return SimpleNamespace(close=lambda: self.closed.append(self.spec.version))


def spec(version):
    return SimpleNamespace(name="toy", version=version, sha256=version * 64, input_size=(8, 8))


def resident_kb(address):
    """Of the mapping that begins there."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith(f"{address:x}-"))
    return int(next(line for line in lines[head:] if line.startswith("Rss:")).split()[1])


@pytest.mark.skipif(EMULATED, reason="the emulator's /proc/self/smaps tells of its own mappings")
def test_what_other_threads_have_mapped_stays_where_it_is(tmp_path):
    (tmp_path / "library").write_bytes(b"x" * PAGE)
    begun = []
    nothing = SimpleNamespace(
        change=lambda *_: None, use_model=lambda _: None, begin=lambda: begun.append(1), rescale=lambda _: None
    )
    first, second = Occupant(spec("1")), Occupant(spec("2"))
    seat = Seat(first, None, nothing, nothing, nothing, nothing, nothing, Ring(10), lambda _: None)
    seat.take(second)
    with (tmp_path / "library").open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    mapped[0]
    [address] = [
        begin
        for begin, _ in memory.clean_mappings()
        if any(
            line.startswith(f"{begin:x}-") and line.endswith("/library")
            for line in Path("/proc/self/maps").read_text().splitlines()
        )
    ]
    seat.clear()
    assert (first.closed, second.closed, begun) == (["1"], [], [1])
    assert resident_kb(address) > 0
    memory.give_back_after_start()
    assert resident_kb(address) == 0
