"""The power of a device goes at any moment: its disk mends itself, and every event that somebody saw is stored.

    EDGED_FULL=1 scripts/test-vm -s -k power

is the long form: 20 power cuts, 200 crashes replayed from their recordings, 3 real starts afterwards. CI runs a tenth,
and prints what it ran.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm.bare_debian import bare_debian
from tests.vm.power import Cut, Device, cut, first_start, start_again

FULL = bool(os.environ.get("EDGED_FULL"))
CUTS, STARTS = (20, 3) if FULL else (2, 1)
CRASHES_EACH = 10
FIRST_CRASHES = 40 if FULL else 4
SEED = 1

pytestmark = pytest.mark.timeout(3600 if FULL else 1800)


@dataclass(frozen=True)
class Delivered:
    """A device as it was put into service, and what its first start would have left."""

    device: Device
    cut: Cut
    is_whole: bool


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    system, wheels = (Path(os.environ[name]) for name in ("EDGED_VM_SYSTEM", "EDGED_VM_WHEELS"))
    installation = bare_debian(system, wheels, tmp_path_factory.mktemp("disks"))
    return Delivered(*first_start(installation, tmp_path_factory.mktemp("device"), FIRST_CRASHES, SEED))


def tell(name: str, found: Cut) -> None:
    crashes = [crash for crash, _, _ in found.crashes]
    print(
        f"{name}: {len(found.seen)} events seen, {found.entries} requests to the disk, {found.flushes} flushes; "
        f"{len(crashes)} crashes, {sum(crash.is_before_flush for crash in crashes)} just before a flush, "
        f"{sum(crash.lost for crash in crashes)} writes lost and {sum(crash.torn for crash in crashes)} torn, "
        f"{sum(len(seen) for _, seen, _ in found.crashes)} times an event had to be there"
    )


def test_the_recording_has_every_write(delivered: Delivered) -> None:
    assert delivered.is_whole, "all of it, written to the disk of the beginning, makes the disk of the end"


def test_a_device_whose_power_goes_at_its_first_start_loses_nothing(delivered: Delivered) -> None:
    tell("first start", delivered.cut)
    assert len(delivered.cut.crashes) == FIRST_CRASHES
    assert delivered.cut.faults() == []


@pytest.mark.parametrize("number", range(1, CUTS + 1))
def test_a_device_whose_power_goes_while_events_come_loses_nothing(
    delivered: Delivered, number: int, tmp_path: Path
) -> None:
    found = cut(delivered.device, tmp_path, CRASHES_EACH, SEED * 1000 + number)
    tell(f"cut {number} of 20", found)
    assert sum(crash.is_before_flush for crash, _, _ in found.crashes) >= CRASHES_EACH // 2
    assert found.faults() == []
    if number > STARTS:
        return
    again = start_again(delivered.device, tmp_path)
    print(f"start {number} of 3: {again.state}, {len(again.seen)} events seen, open before: {found.at_kill.open_rules}")
    assert again.state == "active"
    seen = {one.seq: one.id for one in (*found.seen, *again.seen)}
    assert again.aftermath.faults(seen) == []
    assert again.aftermath.last_seq > found.at_kill.last_seq
    # What the cut left open was ended at that start, each episode once.
    ended = [rule for seq, rule in again.aftermath.restarted.items() if seq > found.at_kill.last_seq]
    assert sorted(ended) == sorted(found.at_kill.open_rules)
