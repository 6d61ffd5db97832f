"""The power of a device goes at any moment: its card mends itself, and every event that somebody saw is stored.

`scripts/test-vm --long` cuts it 20 times, replays 200 crashes from the recordings of its card, and starts it 3 times
afterwards; without --long it is a tenth, of the same seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm.image_device import image_device
from tests.vm.power import Cut, Device, Return, cut, first_start, start_again

LONG = bool(os.environ.get("EDGED_VM_LONG"))
CUTS, STARTS = (20, 3) if LONG else (2, 1)
CRASHES_EACH = 10
FIRST_CRASHES = 40 if LONG else 4
SEED = 1


@dataclass(frozen=True)
class Delivered:
    """A device as it was put into service, and what its first start would have left."""

    device: Device
    cut: Cut
    is_whole: bool


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    image, tools = Path(os.environ["EDGED_VM_IMAGE"]), Path(os.environ["EDGED_VM_SYSTEM"]) / "root.ext4"
    installation = image_device(image, tools, tmp_path_factory.mktemp("disks"))
    return Delivered(*first_start(installation, tmp_path_factory.mktemp("first"), FIRST_CRASHES, SEED))


def told(cuts: list[Cut]) -> str:
    """What was tried, in numbers."""
    crashes = [crash for found in cuts for crash, _, _ in found.crashes]
    held = sum(len(seen) for found in cuts for _, seen, _ in found.crashes)
    return (
        f"{len(crashes)} crashes, {sum(crash.is_before_flush for crash in crashes)} of them just before a flush; "
        f"{sum(found.entries for found in cuts)} requests, {sum(found.flushes for found in cuts)} flushes recorded; "
        f"{sum(crash.lost for crash in crashes)} writes lost, {sum(crash.torn for crash in crashes)} torn; "
        f"an event that was seen was looked for {held} times"
    )


def test_the_recording_of_the_card_is_whole(delivered: Delivered) -> None:
    assert delivered.is_whole, "all of it, written to the card of the beginning, makes the card of the end"


def test_a_device_whose_power_goes_at_its_first_start_loses_nothing(
    delivered: Delivered, record: Callable[[str, str], None]
) -> None:
    assert len(delivered.cut.crashes) == FIRST_CRASHES
    assert delivered.cut.faults() == []
    record("power cut: first start", f"{told([delivered.cut])}; nothing lost")


def test_a_device_whose_power_goes_while_events_come_loses_nothing_and_comes_back(
    delivered: Delivered, tmp_path: Path, record: Callable[[str, str], None]
) -> None:
    cuts: list[Cut] = []
    returns: list[Return] = []
    for number in range(CUTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = cut(delivered.device, folder, CRASHES_EACH, SEED * 1000 + number)
        print(f"cut {number + 1} of 20: {told([found])}", flush=True)
        assert found.faults() == []
        cuts.append(found)
        if number < STARTS:
            returns.append(check_return(found, start_again(delivered.device, folder)))
        (folder / "disk.img").unlink()
    crashes = [crash for found in cuts for crash, _, _ in found.crashes]
    assert len(crashes) == CUTS * CRASHES_EACH
    assert sum(crash.is_before_flush for crash in crashes) * 2 >= len(crashes)
    record("power cut: replayed", f"{told(cuts)}; nothing lost")
    record("power cut: QEMU killed", f"{len(cuts)} times; nothing lost")
    ended = sum(len(one.aftermath.restarted) for one in returns)
    record("power cut: started again", f"{len(returns)} times, the service was active; {ended} open episodes ended")


def test_a_card_that_does_not_keep_what_it_said_is_found_out(delivered: Delivered, tmp_path: Path) -> None:
    """With the same means as above: they would see a store that is not flushed in time."""
    found = cut(delivered.device, tmp_path, CRASHES_EACH, SEED * 2000, forgets=40)
    faults = found.faults()
    assert any("seen and not stored" in fault for fault in faults), faults


def check_return(found: Cut, again: Return) -> Return:
    """After the power was back the service went on where it had been."""
    seen = {one.seq: one.id for one in (*found.seen, *again.seen)}
    assert again.state == "active"
    assert again.aftermath.faults(seen) == []
    assert again.aftermath.last_seq > found.at_kill.last_seq
    # What the cut left open was ended at that start, each episode once.
    ended = [rule for seq, rule in again.aftermath.restarted.items() if seq > found.at_kill.last_seq]
    assert sorted(ended) == sorted(found.at_kill.open_rules)
    return again
