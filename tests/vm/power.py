"""A device whose power goes: edged and a broker in a virtual machine, every write to its disk recorded.

Law: the power goes when QEMU is killed. What the machine had not flushed by then is still on this machine's disk, so a
kill alone proves little; the recording is what tells which writes a real disk might have lost.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.vm.aftermath import Aftermath, examine
from tests.vm.crash import Crash, Replay, choose
from tests.vm.disks import copy_disk, take_partition
from tests.vm.hardware import Hardware
from tests.vm.machine import Machine
from tests.vm.onlooker import Onlooker, Seen
from tests.vm.write_log import WriteLog, read_log

FIRST_EVENTS, AGAIN_EVENTS = 30, 20
CUT_AFTER_EVENTS = (30, 120)


@dataclass(frozen=True)
class Installation:
    """A device that was never started.

    Attributes:
        hardware: its first drive is the disk with the outbox.
        disk: what is on that before the first start; it is left as it is.
        offset_bytes: where its file system begins.
        place: the folder of the outbox in that.
        topic: of the device, above the kinds of messages.
        put_into_service: brings it at its first start to where events come, and will at each later one.
        reach: what has to be done at each later start so that its broker can be reached from outside.
    """

    hardware: Hardware
    disk: Path
    offset_bytes: int
    place: str
    topic: str
    put_into_service: Callable[[Machine], None]
    reach: Callable[[Machine], None]


@dataclass(frozen=True)
class Device:
    """An installation in service, as it was saved while events came.

    Attributes:
        disk, state: its disk and the rest of it at that moment.
        seen: what was heard until then.
    """

    installation: Installation
    disk: Path
    state: Path
    seen: tuple[Seen, ...]


@dataclass
class Cut:
    """What became of a device whose power went once.

    Attributes:
        seen: what a subscriber had got by then.
        entries, flushes: of the recording.
        at_kill: its disk as QEMU left it.
        crashes: moments of the recording, what was seen before each, and what was found on the disk after it.
    """

    seen: list[Seen]
    entries: int
    flushes: int
    at_kill: Aftermath
    crashes: list[tuple[Crash, dict[int, str], Aftermath]] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Everything that is wrong, in words."""
        found = [f"at the kill: {fault}" for fault in self.at_kill.faults({one.seq: one.id for one in self.seen})]
        for crash, seen, aftermath in self.crashes:
            found += [f"after entry {crash.entries}: {fault}" for fault in aftermath.faults(seen)]
        return found


def first_start(installation: Installation, folder: Path, crashes: int, seed: int) -> tuple[Device, Cut, bool]:
    """Starts a device for the first time, recorded, and saves it while events come; its power goes then.

    Returns:
        The device; the cut; whether the recording makes the disk of the end out of that of the beginning.
    """
    log, disk, state = folder / "first.log", folder / "disk.img", folder / "running.state"
    copy_disk(installation.disk, disk)
    with _running(installation, disk, log, folder) as (machine, onlooker):
        installation.put_into_service(machine)
        onlooker.wait(FIRST_EVENTS)
        machine.save(state)
    chosen = choose(read_log(log), crashes, seed)
    found = _judge(installation, onlooker.seen, disk, log, installation.disk, chosen)
    seen = tuple(replace(one, log_bytes=0) for one in onlooker.seen)  # before any later recording
    return Device(installation, disk, state, seen), found, _is_whole(installation, log, disk)


def cut(device: Device, folder: Path, crashes: int, seed: int, forgets: int = 0) -> Cut:
    """Lets the saved device go on with its disk recorded, and takes its power at a random moment.

    Args:
        folder: an empty one; what is on the disk after the kill is `disk.img` in it.
        crashes: how many moments of the recording are looked at, beside that of the kill.
        forgets: see `choose`.
    """
    chance, disk, log = random.Random(seed), folder / "disk.img", folder / "writes.log"
    copy_disk(device.disk, disk)
    with _running(device.installation, disk, log, folder, device.state) as (machine, onlooker):
        onlooker.wait(chance.randrange(*CUT_AFTER_EVENTS))
        onlooker.rest(chance.uniform(0.0, 0.5))
        machine.kill()
    chosen = choose(read_log(log), crashes, seed, forgets)
    return _judge(device.installation, [*device.seen, *onlooker.seen], disk, log, device.disk, chosen)


@dataclass(frozen=True)
class Return:
    """What a device did after its power was back.

    Attributes:
        seen: what a subscriber got from the start on.
        state: what systemd says of the service.
        aftermath: its disk at last, when edged was stopped in order.
    """

    seen: list[Seen]
    state: str
    aftermath: Aftermath


def start_again(device: Device, folder: Path) -> Return:
    """Starts a device whose power went, from what `cut` left in that folder, and lets it run for some events."""
    disk, installation = folder / "disk.img", device.installation
    with _running(installation, disk, None, folder) as (machine, onlooker):
        installation.reach(machine)
        onlooker.wait(AGAIN_EVENTS)
        state = machine.run("systemctl is-active edged")
        machine.run("systemctl stop edged; sync")
    return Return(onlooker.seen, state, _examine(installation, disk))


@contextmanager
def _running(
    installation: Installation, disk: Path, log: Path | None, folder: Path, state: Path | None = None
) -> Iterator[tuple[Machine, Onlooker]]:
    """The machine with that disk, and somebody outside who listens; its power goes at the end."""
    hardware = installation.hardware
    first, *others = hardware.drives
    assert hardware.network is not None
    if log:
        log.write_bytes(b"")
    drives = (replace(first, file=disk, writes="kept", log=log), *others)
    machine = Machine(replace(hardware, drives=drives, saved=state), folder)
    with machine, Onlooker(hardware.network.broker_port, installation.topic, log) as onlooker:
        yield machine, onlooker


def _judge(
    installation: Installation, seen: list[Seen], disk: Path, log: Path, before: Path, chosen: list[Crash]
) -> Cut:
    """Looks at the disk that a kill left, and at those that other moments of the recording would have left."""
    recording, folder = read_log(log), disk.parent
    found = Cut(seen, len(recording.entries), len(recording.flushes), _examine(installation, disk))
    with _replaying(installation, recording, before, folder) as replay:
        for crash in chosen:
            written_bytes = recording.entries[crash.entries - 1].end
            by_then = {one.seq: one.id for one in seen if one.log_bytes <= written_bytes}
            aftermath = examine(replay.after(crash), installation.place, folder / "outbox")
            found.crashes.append((crash, by_then, aftermath))
    return found


def _examine(installation: Installation, disk: Path) -> Aftermath:
    """Looks at a disk, which is left as it is."""
    copy = disk.with_name("partition.img")
    take_partition(disk, installation.offset_bytes, copy)
    try:
        return examine(copy, installation.place, disk.with_name("outbox"))
    finally:
        copy.unlink()


def _is_whole(installation: Installation, log: Path, disk: Path) -> bool:
    recording, after = read_log(log), disk.with_name("partition.img")
    entries = len(recording.entries)
    take_partition(disk, installation.offset_bytes, after)
    with _replaying(installation, recording, installation.disk, disk.parent) as replay:
        remade = replay.after(Crash(entries, entries, ()))
        status = subprocess.run(["cmp", "--silent", remade, after], check=False).returncode
    after.unlink()
    return status == 0


@contextmanager
def _replaying(installation: Installation, recording: WriteLog, before: Path, folder: Path) -> Iterator[Replay]:
    partition = folder / "settled.img"
    take_partition(before, installation.offset_bytes, partition)
    replay = Replay(recording, partition, folder, installation.offset_bytes)
    try:
        yield replay
    finally:
        replay.close()
