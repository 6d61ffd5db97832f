"""The board: this machine's own /proc and /sys where every Linux has them, files of a test where only some have."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

import pytest

from edged.edges import board


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_resident_memory_of_this_process() -> None:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    found = board.rss_mb()
    assert found is not None
    assert 1.0 < found <= peak_mb * 1.05


def test_a_board_without_sensors_has_none() -> None:
    assert board.soc_temp_c(Path("/nowhere")) is None
    assert board.undervoltage(Path("/nowhere")) is None
    assert board.throttled(Path("/nowhere")) is None


def test_temperature_is_told_in_degrees(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "61318\n")
    assert board.soc_temp_c(tmp_path) == 61.318


@pytest.mark.parametrize(("alarm", "expected"), [("0\n", False), ("1\n", True)])
def test_undervoltage_is_what_the_driver_of_the_raspberry_pi_says(tmp_path: Path, alarm: str, expected: bool) -> None:
    write(tmp_path, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    write(tmp_path, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", alarm)
    assert board.undervoltage(tmp_path) is expected


def test_another_driver_says_nothing_about_the_supply(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/hwmon/hwmon0/name", "nvme\n")
    write(tmp_path, "sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1\n")
    assert board.undervoltage(tmp_path) is None


@pytest.mark.parametrize(
    ("bits", "expected"),
    [("0", False), ("1", False), ("2", True), ("4", True), ("8", True), ("50000", False), ("50005", True)],
)
def test_throttled_is_about_now_and_not_about_the_past(tmp_path: Path, bits: str, expected: bool) -> None:
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", f"{bits}\n")
    assert board.throttled(tmp_path) is expected


def test_the_id_of_the_board_is_stable_and_hides_the_machine_id(tmp_path: Path) -> None:
    machine = "0123456789abcdef0123456789abcdef"
    write(tmp_path, "etc/machine-id", f"{machine}\n")
    found = board.board_id(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{16}", found)
    assert found not in machine
    assert board.board_id(tmp_path) == found
    write(tmp_path, "etc/machine-id", f"{machine[::-1]}\n")
    assert board.board_id(tmp_path) != found


def test_the_machine_id_of_dbus_and_then_the_name_stand_in(tmp_path: Path) -> None:
    nameless = board.board_id(tmp_path)
    write(tmp_path, "var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n")
    assert board.board_id(tmp_path) != nameless
    assert os.uname().nodename not in (nameless, board.board_id(tmp_path))


def test_the_boot_has_an_id_that_stays() -> None:
    assert board.boot_id() == board.boot_id()
    assert re.fullmatch(r"[0-9a-f-]{36}|unknown", board.boot_id())


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= board.cores() <= (os.cpu_count() or 1)


def test_a_board_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    assert board.model_name(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"
    assert board.model_name(Path("/nowhere")).startswith(os.uname().machine)
