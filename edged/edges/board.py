"""The board: memory, temperature, power, identity, read from /proc and /sys. A source that does not exist is None."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def rss_mb() -> float | None:
    """Resident memory of this process in MB of 10^6 bytes."""
    text = _read("/proc/self/statm")
    return None if text is None else int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soc_temp_c() -> float | None:
    """Temperature of the first thermal zone, degrees Celsius."""
    text = _read("/sys/class/thermal/thermal_zone0/temp")
    return None if text is None else int(text) / 1000


def undervoltage() -> bool | None:
    """Whether the supply is too weak now, by the driver that Raspberry Pi kernels have (`rpi_volt`)."""
    for name in Path("/sys/class/hwmon").glob("*/name"):
        if _read(str(name)) == "rpi_volt":
            text = _read(str(name.parent / "in0_lcrit_alarm"))
            return None if text is None else text == "1"
    return None


def throttled() -> bool | None:
    """Whether the firmware slows the board down now: bits 1 to 3 of get_throttled, without the sticky ones."""
    text = _read("/sys/devices/platform/soc/soc:firmware/get_throttled")
    return None if text is None else bool(int(text, 16) & 0b1110)


def board_id() -> str:
    """A hash of the machine id: tells two boards apart and nothing else about them."""
    machine = _read("/etc/machine-id") or _read("/var/lib/dbus/machine-id") or os.uname().nodename
    return hashlib.sha256(b"edged:" + machine.encode()).hexdigest()[:16]


def boot_id() -> str:
    """The kernel's id of this boot."""
    return _read("/proc/sys/kernel/random/boot_id") or "unknown"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def model_name() -> str:
    """What the board calls itself, for keys of measurements."""
    text = _read("/proc/device-tree/model")
    return (text or f"{os.uname().machine} x{os.cpu_count()}").strip("\0")


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
