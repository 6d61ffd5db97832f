"""The card: how much is written to it where nothing happens but events, and where events go when it takes none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from edged.edges.outbox import SETTLE_S
from tests.vm.appliance import Appliance
from tests.vm.board import Board

LONG = bool(os.environ.get("EDGED_VM_LONG"))
VISITS = 15 if LONG else 2
VISIT_S = 120
"""A visit is two events, so it is an event a minute."""
SECTOR_BYTES = 512
SECTORS_WRITTEN = 6
"""Of /sys/block/DISK/stat, counted from 0: Documentation/block/stat.rst of Linux."""
EVENTS_A_DAY = 24 * 60
MB_A_DAY_BAR, MB_A_DAY_LIMIT = 20.0, 25.0 if LONG else 40.0
"""What is promised, told as missed where it is; and what would be a fault. Of four events, one page is 1.5 MB a day."""
IDLE_S = 60
NOT = 3
"""Of the control horizontal_movement."""
PROBLEM = "outbox_disk"

Record = Callable[[str, str], None]


def written_bytes(appliance: Appliance) -> int:
    """What has reached the card since the start of the machine, whatever the file system still holds back."""
    fields = appliance.run("""
        sync
        for block in /sys/block/vd*; do
            if [[ $(<"$block/serial") == card ]]; then cat "$block/stat"; fi
        done""").split()
    return int(fields[SECTORS_WRITTEN]) * SECTOR_BYTES


def fill_journal(appliance: Appliance) -> None:
    """Events until the store's journal does not grow any more: so it is but for the first half hour after a start."""
    sizes: list[str] = []
    appliance.move()
    while len(sizes) < 3 or sizes[-1] != sizes[-3]:
        appliance.wait_for_events(6)
        sizes.append(appliance.run("stat -c %s /var/lib/edged/vm/outbox.db-wal"))
    appliance.vivid.set("horizontal_movement", NOT)


def test_a_day_of_an_event_a_minute_writes_less_than_its_share(appliance: Appliance, record: Record) -> None:
    appliance.wait_until("running")
    # As the image's fstab says; systemd-remount-fs does it at a start, and is masked here.
    appliance.run("mount -o remount / && grep -w lazytime /proc/self/mounts")
    fill_journal(appliance)
    # Until the last answers are stored, which wait for an event no longer, and what the file system puts off is there.
    appliance.run(f"sleep {SETTLE_S + IDLE_S:g}")
    before = written_bytes(appliance)
    appliance.run(f"sleep {IDLE_S}")
    idle = written_bytes(appliance) - before
    before, events, began_s = written_bytes(appliance), appliance.heard.account.messages, appliance.clock_s()
    for visit in range(1, VISITS + 1):
        appliance.move()
        appliance.wait_for_events(2)
        appliance.vivid.set("horizontal_movement", NOT)
        appliance.run(f"sleep $(({began_s + visit * VISIT_S:.0f} - $(date +%s)))")
    seconds = appliance.clock_s() - began_s
    written, came = written_bytes(appliance) - before, appliance.heard.account.messages - events
    mb_a_day = written / 1e6 / came * EVENTS_A_DAY
    assert came >= 2 * VISITS
    assert idle == 0
    assert mb_a_day <= MB_A_DAY_LIMIT
    verdict = "" if mb_a_day <= MB_A_DAY_BAR else ": **misses the bar**"
    record(
        "writes in steady state",
        f"{written / 1e3:.0f} kB in {seconds / 60:.1f} minutes with {came} events, {mb_a_day:.1f} MB a day{verdict}; "
        f"{idle} bytes in {IDLE_S} s without any",
    )


@pytest.fixture(scope="module")
def spoiled(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """An appliance of its own: its card is filled, and then made read-only."""
    with board.restored(tmp_path_factory.mktemp("spoiled")) as appliance:
        appliance.wait_until("running")
        yield appliance


def has_problem(health: dict[str, list[dict[str, str]]]) -> bool:
    return any(problem["code"] == PROBLEM for problem in health["problems"])


def test_a_full_card_is_told_and_events_go_on(spoiled: Appliance, record: Record) -> None:
    told, before = spoiled.mark("health"), len(spoiled.journal())
    spoiled.run("""
        for size in 1M 1k; do dd if=/dev/zero of=/var/lib/edged/filler-$size bs=$size 2>/dev/null || true; done
        sync""")
    spoiled.move()
    spoiled.wait_for_events(4)
    health = spoiled.wait_for("health", has_problem, told)
    spoiled.run("rm /var/lib/edged/filler-*; sync")
    spoiled.wait_for("health", lambda message: not has_problem(message), told + 1)
    spoiled.wait_for_events(2)
    text = next(problem["text"] for problem in health["problems"] if problem["code"] == PROBLEM)
    record("full card", f"events go on; over MQTT: “{text}”; over by itself when there is room")
    _told_once(spoiled, before)


def test_a_card_that_became_read_only_is_told_and_events_go_on(spoiled: Appliance, record: Record) -> None:
    told, before = spoiled.mark("health"), len(spoiled.journal())
    spoiled.run("echo u >/proc/sysrq-trigger; until grep -q ' / ext4 ro' /proc/mounts; do sleep 0.2; done")
    spoiled.move()
    spoiled.wait_for_events(4)
    health = spoiled.wait_for("health", has_problem, told)
    text = next(problem["text"] for problem in health["problems"] if problem["code"] == PROBLEM)
    record("read-only card", f"events go on; over MQTT: “{text}”")
    _told_once(spoiled, before)


def _told_once(appliance: Appliance, before: int) -> None:
    """The journal has a line, and not one for each event."""
    lines = [line for line in appliance.journal()[before:] if "WARNING edged.outbox" in line]
    assert len(lines) == 1, lines
