"""A card that has just been written goes into a board: nothing is masked, nothing fails, and the first event comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.vm.appliance import CONFIGURATION, MEMORY_MIB
from tests.vm.board import Board

BAD_LINE = 6
LOW_MIB = 64.0
"""What must be left of the memory, for whoever logs in."""

Record = Callable[[str, str], None]


def sizes_mib(text: str) -> dict[str, float]:
    """What /proc says in kB, by name, in MiB."""
    lines = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {name.removesuffix(":"): int(kib) / 1024 for name, kib, _ in lines}


def test_from_power_to_the_first_event_nothing_fails(board: Board, tmp_path: Path, record: Record) -> None:
    card = board.card(tmp_path, edged_toml=CONFIGURATION)
    with board.started(tmp_path, card, masked=False) as appliance:
        ready_s = int(appliance.show("ActiveEnterTimestampMonotonic")) / 1e6
        state = appliance.show("ActiveState")
        appliance.still()
        appliance.wait_for_state("running")
        appliance.move()
        appliance.wait_for_events(1)
        event_s = time.monotonic() - appliance.machine.began_s
        failed = appliance.run("systemctl list-units --failed --no-legend --plain")
        cycles = appliance.run("journalctl --boot --no-pager --grep='ordering cycle' --output=cat || true")
        assert (state, failed, cycles) == ("active", "", "")
        record(
            "power to first event",
            f"READY {ready_s:.0f} s after power by the board's clock, the first event arrived after {event_s:.0f} s; "
            f"{len(failed.splitlines())} failed units, {len(cycles.splitlines())} ordering cycles",
        )

        appliance.still()
        appliance.run("sleep 20")
        memory = sizes_mib(appliance.run("cat /proc/meminfo"))
        used_mib = memory["MemTotal"] - memory["MemAvailable"]
        status = appliance.run(f"cat /proc/{appliance.show('MainPID')}/status")
        daemon_mib = sizes_mib(status)["VmRSS"]
        assert memory["MemAvailable"] > LOW_MIB
        record(
            f"idle memory in a machine of {MEMORY_MIB} MB",
            f"{used_mib:.0f} MiB in use of {memory['MemTotal']:.0f} that the kernel gives, the test's broker among it; "
            f"{memory['MemAvailable']:.0f} MiB available; edged itself {daemon_mib:.0f} MiB (RSS)",
        )


def test_a_configuration_with_a_mistake_is_told_on_the_card_and_the_board_boots(
    board: Board, tmp_path: Path, record: Record
) -> None:
    lines = CONFIGURATION.splitlines()
    lines[BAD_LINE - 1] = lines[BAD_LINE - 1].replace("width_px", "widht_px")
    card = board.card(tmp_path, edged_toml="\n".join(lines) + "\n")
    with board.started(tmp_path, card) as appliance:
        told = appliance.run("cat /boot/firmware/edged-error.txt")
        running = appliance.run("systemctl is-active multi-user.target")
        daemon = appliance.show("ActiveState")
        assert f"edged.toml, line {BAD_LINE}: " in told
        assert "width_px" in told
        assert running == "active"
        assert daemon == "inactive"
        sentence = next(line for line in told.splitlines() if f"line {BAD_LINE}" in line).lstrip("* ")
        record(
            "bad `edged.toml` on the FAT partition", f"it boots, without the daemon; `edged-error.txt`: “{sentence}”"
        )
