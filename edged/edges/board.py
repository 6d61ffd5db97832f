"""The board: memory, temperature, power, identity, read from /proc and /sys. A source that does not exist is None.

Where a function takes `root`, it reads below it: a test has a board of its own there.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path("/")


def rss_mb() -> float | None:
    """Resident memory of this process in MB of 10^6 bytes."""
    text = _read(ROOT / "proc/self/statm")
    return None if text is None else int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soc_temp_c(root: Path = ROOT) -> float | None:
    """Temperature of the first thermal zone, degrees Celsius."""
    text = _read(root / "sys/class/thermal/thermal_zone0/temp")
    return None if text is None else int(text) / 1000


def undervoltage(root: Path = ROOT) -> bool | None:
    """Whether the supply is too weak now, by the driver that Raspberry Pi kernels have (`rpi_volt`)."""
    for name in (root / "sys/class/hwmon").glob("*/name"):
        if _read(name) == "rpi_volt":
            text = _read(name.parent / "in0_lcrit_alarm")
            return None if text is None else text == "1"
    return None


def throttled(root: Path = ROOT) -> bool | None:
    """Whether the firmware slows the board down now: bits 1 to 3 of get_throttled, without the sticky ones."""
    text = _read(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    return None if text is None else bool(int(text, 16) & 0b1110)


def board_id(root: Path = ROOT) -> str:
    """A hash of the machine id: tells two boards apart and nothing else about them."""
    machine = _read(root / "etc/machine-id") or _read(root / "var/lib/dbus/machine-id") or os.uname().nodename
    return hashlib.sha256(b"edged:" + machine.encode()).hexdigest()[:16]


def boot_id() -> str:
    """The kernel's id of this boot."""
    return _read(ROOT / "proc/sys/kernel/random/boot_id") or "unknown"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def model_name(root: Path = ROOT) -> str:
    """What the board calls itself, for keys of measurements."""
    text = _read(root / "proc/device-tree/model")
    return (text or f"{os.uname().machine} x{os.cpu_count()}").strip("\0")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
