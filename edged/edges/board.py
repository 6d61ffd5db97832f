"""The board: memory, temperature, power, identity, read from /proc and /sys. A source that does not exist is None.

Where a function takes `root`, it reads below it: a test has a board of its own there.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

ROOT = Path("/")

MAX_BYTES = 65_536
DEFAULT_BEGIN_MB = 55.0
"""What edged takes with the default model when its loop begins to turn; 50 to 53 MB were measured."""
HEAD_ROOM_MB, HEAD_ROOM_SHARE = 192.0, 1 / 3
"""What may come on top, and at most that share of the board's memory. A 1080p stream takes 38 MB of it."""


def rss_mb() -> float | None:
    """Resident memory of this process in MB of 10^6 bytes."""
    text = _read(_place(ROOT, "proc/self/statm"))
    return None if text is None else int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def anonymous_mb(root: Path = ROOT) -> float | None:
    """Anonymous resident memory of this process in MB of 10^6 bytes: what it allocated, without the files it maps.

    What leaks is anonymous; mapped files come and go as the kernel likes. RssAnon of proc_pid_status(5).
    """
    return _kilobytes(_place(root, "proc/self/status"), "RssAnon")


def total_mb(root: Path = ROOT) -> float | None:
    """Memory of the board in MB of 10^6 bytes, without what the kernel and the firmware keep for themselves."""
    return _kilobytes(_place(root, "proc/meminfo"), "MemTotal")


def available_mb(root: Path = ROOT) -> float | None:
    """What programs could still have of it without swapping, MB of 10^6 bytes."""
    return _kilobytes(root / "proc/meminfo", "MemAvailable")


def memory_limit_mb(begun_mb: float = DEFAULT_BEGIN_MB, root: Path = ROOT) -> float:
    """So much anonymous memory ends the process: what it begins with and head room, on a small board less of that.

    Args:
        begun_mb: `anonymous_mb()` when the model is loaded and the loop is about to turn; left out, what the default
            model takes.
    """
    board_mb = total_mb(root)
    return begun_mb + (HEAD_ROOM_MB if board_mb is None else min(HEAD_ROOM_MB, board_mb * HEAD_ROOM_SHARE))


def memory_cgroup(root: Path = ROOT) -> bool | None:
    """Whether limits of systemd like MemoryMax bind: the kernel counts memory by cgroup; None where it does not tell.

    Raspberry Pi's firmware puts `cgroup_disable=memory` into the kernel's command line; `cgroup_enable=memory` in
    cmdline.txt takes it back.
    """
    controllers = _read(_place(root, "sys/fs/cgroup/cgroup.controllers"))
    if controllers is not None:
        return "memory" in controllers.split()
    words = (_read(_place(root, "proc/cmdline")) or "").split()
    asked = [word for word in words if word in ("cgroup_disable=memory", "cgroup_enable=memory")]
    return False if asked and asked[-1] == "cgroup_disable=memory" else None


def disk_free_mb(path: Path) -> float | None:
    """What is free for this user where a folder is, in MB of 10^6 bytes; None for a folder that does not exist."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize / 1e6


def soc_temp_c(root: Path = ROOT) -> float | None:
    """Temperature of the first thermal zone, degrees Celsius."""
    text = _read(_place(root, "sys/class/thermal/thermal_zone0/temp"))
    return None if text is None else int(text) / 1000


def undervoltage(root: Path = ROOT) -> bool | None:
    """Whether the supply is too weak now, by the driver that Raspberry Pi kernels have (`rpi_volt`)."""
    try:
        sensors = os.listdir(_place(root, "sys/class/hwmon"))  # noqa: PTH208 - its names are no new paths
    except OSError:
        return None
    for sensor in sensors:
        if _read(_place(root, f"sys/class/hwmon/{sensor}/name")) == "rpi_volt":
            text = _read(_place(root, f"sys/class/hwmon/{sensor}/in0_lcrit_alarm"))
            return None if text is None else text == "1"
    return None


def throttled(root: Path = ROOT) -> bool | None:
    """Whether the firmware slows the board down now: bits 1 to 3 of get_throttled, without the sticky ones."""
    text = _read(_place(root, "sys/devices/platform/soc/soc:firmware/get_throttled"))
    return None if text is None else bool(int(text, 16) & 0b1110)


def board_id(root: Path = ROOT) -> str:
    """A hash of the machine id: tells two boards apart and nothing else about them."""
    machine = (
        _read(_place(root, "etc/machine-id")) or _read(_place(root, "var/lib/dbus/machine-id")) or os.uname().nodename
    )
    return hashlib.sha256(b"edged:" + machine.encode()).hexdigest()[:16]


def boot_id() -> str:
    """The kernel's id of this boot."""
    return _read(_place(ROOT, "proc/sys/kernel/random/boot_id")) or "unknown"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def model_name(root: Path = ROOT) -> str:
    """What the board calls itself, for keys of measurements."""
    text = _read(_place(root, "proc/device-tree/model"))
    return (text or f"{os.uname().machine} x{os.cpu_count()}").strip("\0")


def _kilobytes(path: Path, key: str) -> float | None:
    """The line `key: N kB` of a file, in MB of 10^6 bytes."""
    for line in (_read(path) or "").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024 / 1e6
    return None


@functools.lru_cache(maxsize=128)
def _place(root: Path, name: str) -> Path:
    """The path, made once: it is asked for every few seconds."""
    return root / name


def _read(path: Path) -> str | None:
    """What a small file says.

    By plain reads: at each open() Python looks names up under strings that it has just made, and the interpreter's
    attribute cache keeps some of those. This is asked for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, MAX_BYTES).decode(errors="replace").strip()
    except OSError:
        return None
    finally:
        os.close(descriptor)
