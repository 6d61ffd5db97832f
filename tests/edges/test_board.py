"""The board: this machine's own /proc and /sys where every Linux has them, files of a test where only some have."""

from __future__ import annotations

import os
import re
import resource
import shutil
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


def test_anonymous_memory_grows_with_what_is_allocated() -> None:
    before_mb = board.anonymous_mb()
    assert before_mb is not None
    block = bytearray(b"x") * 32_000_000
    after_mb = board.anonymous_mb()
    assert after_mb is not None
    assert after_mb - before_mb == pytest.approx(32.0, abs=2.0)
    del block


def test_anonymous_memory_is_read_in_the_kernels_kilobytes(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/status", "VmRSS:\t  129024 kB\nRssAnon:\t   51760 kB\nRssFile:\t   77264 kB\n")
    assert board.anonymous_mb(tmp_path) == pytest.approx(53.0, abs=0.01)


@pytest.mark.parametrize(
    ("total_kb", "limit_mb"),
    [(7_998_000, 247.0), (1_893_000, 247.0), (406_250, 55.0 + 416.0 / 3), (None, 247.0)],
    ids=["8 GB", "2 GB", "416 MB", "unknown"],
)
def test_the_limit_is_what_it_begins_with_and_head_room_that_the_board_has(
    tmp_path: Path, total_kb: int | None, limit_mb: float
) -> None:
    if total_kb is not None:
        write(tmp_path, "proc/meminfo", f"MemTotal:        {total_kb} kB\nMemFree:         1234 kB\n")
    assert board.memory_limit_mb(root=tmp_path) == pytest.approx(limit_mb)
    assert board.memory_limit_mb(155.0, tmp_path) == pytest.approx(limit_mb + 100.0)


@pytest.mark.parametrize(
    ("controllers", "cmdline", "expected"),
    [
        ("cpuset cpu io memory pids\n", "root=/dev/mmcblk0p2", True),
        ("cpuset cpu io pids\n", "cgroup_disable=memory root=/dev/mmcblk0p2", False),
        (None, "coherent_pool=1M cgroup_disable=memory root=/dev/mmcblk0p2", False),
        (None, "cgroup_disable=memory root=/dev/mmcblk0p2 cgroup_enable=memory", None),
        (None, "root=/dev/mmcblk0p2", None),
        (None, None, None),
    ],
)
def test_whether_the_kernel_counts_memory(
    tmp_path: Path, controllers: str | None, cmdline: str | None, expected: bool | None
) -> None:
    if controllers is not None:
        write(tmp_path, "sys/fs/cgroup/cgroup.controllers", controllers)
    if cmdline is not None:
        write(tmp_path, "proc/cmdline", cmdline)
    assert board.memory_cgroup(tmp_path) is expected


def test_free_disk_is_that_of_the_folders_file_system(tmp_path: Path) -> None:
    found = board.disk_free_mb(tmp_path)
    assert found is not None
    assert found == pytest.approx(shutil.disk_usage(tmp_path).free / 1e6, abs=500.0)
    assert board.disk_free_mb(tmp_path / "none") is None


def test_a_board_without_sensors_has_none() -> None:
    assert board.soc_temp_c(Path("/nowhere")) is None
    assert board.undervoltage(Path("/nowhere")) is None
    assert board.throttled(Path("/nowhere")) is None
    assert board.anonymous_mb(Path("/nowhere")) is None


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
