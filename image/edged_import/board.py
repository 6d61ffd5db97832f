"""The board around: its serial number and name, its mounts, the daemon's own check.

Law: one function an edge, nothing is decided here.
"""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

from edged_import.texts import Problem

CHECK_TIMEOUT_S = 600.0


def serial() -> str:
    """The serial number as the firmware gives it, "" where there is none."""
    try:
        return Path("/proc/device-tree/serial-number").read_text(encoding="ascii").strip("\0\n")
    except (OSError, UnicodeDecodeError):
        found = re.search(r"^Serial\s*:\s*(\S+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        return found[1] if found else ""


def set_host_name(name: str) -> None:
    """The running system's name; the file that the next start reads is not touched."""
    socket.sethostname(name)


def make_writable(folder: Path, writable: bool) -> None:
    """Remounts a file system.

    Raises:
        OSError: mount(8) did not do it.
    """
    mode = "rw" if writable else "ro"
    command = ["mount", "-o", f"remount,{mode}", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - no shell, by PATH
    if done.returncode != 0:
        raise OSError(f"{folder} cannot be made {mode}: {done.stderr.strip()}")


def check(path: Path, name: str) -> list[Problem]:
    """What `edged check` finds wrong with a configuration.

    Args:
        path: the configuration.
        name: what the person who wrote it calls it.
    """
    command = ["edged", "check", "--config", str(path)]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, by PATH
            command, check=False, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Problem(name, None, f"could not be checked ({error}); start the board again")]
    if done.returncode == 0:
        return []
    return list(_problems(done.stderr, path, name)) or [
        Problem(name, None, f"edged check ended with {done.returncode}")
    ]


def _problems(output: str, path: Path, name: str) -> list[Problem]:
    placed = re.findall(rf"^{re.escape(str(path))}:(?:(\d+):)? *(.+)$", output, re.MULTILINE)
    if placed:
        return [Problem(name, int(line) if line else None, sentence) for line, sentence in placed]
    return [Problem(name, None, line.replace(str(path), name)) for line in output.splitlines()[-3:]]
