"""systemd's services, asked by `systemctl show`, which needs no right and changes nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from edged.core.service_findings import Unit

ASK_S = 5.0
PROPERTIES = (
    *("LoadState", "ActiveState", "UnitFileState", "Result", "ExecMainStatus", "NRestarts", "MainPID", "User"),
    *("MemoryMax", "LimitCORE", "IPAddressAllow", "IPAddressDeny", "LoadCredential", "NeedDaemonReload"),
)

Ask = Callable[[str], str | None]
"""From the name of a unit to `key=value` lines; None where there is nobody to ask."""


def show(name: str, ask: Ask | None = None) -> Unit | None:
    """A service; None where systemd does not run, or does not answer in time."""
    text = (ask or _systemctl)(name)
    if text is None:
        return None
    pairs = [line.partition("=")[::2] for line in text.splitlines() if "=" in line]
    values = dict(pairs)
    return Unit(
        name=name,
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        enabled=values.get("UnitFileState", ""),
        result=values.get("Result", ""),
        exit_status=_number(values.get("ExecMainStatus")) or 0,
        restarts=_number(values.get("NRestarts")) or 0,
        main_pid=_number(values.get("MainPID")) or None,
        user=values.get("User", ""),
        memory_max_bytes=_number(values.get("MemoryMax")),
        core_limit_bytes=_number(values.get("LimitCORE")),
        allow=tuple(values.get("IPAddressAllow", "").split()),
        deny=tuple(values.get("IPAddressDeny", "").split()),
        # One line a credential: NAME:FILE.
        credentials=dict(value.partition(":")[::2] for key, value in pairs if key == "LoadCredential" and value),
        is_stale=values.get("NeedDaemonReload") == "yes",
    )


def _number(text: str | None) -> int | None:
    """A number; None for `infinity` and for what is not there."""
    return int(text) if text and text.isdecimal() else None


def _systemctl(name: str) -> str | None:
    command = ["systemctl", "show", "--no-pager", f"--property={','.join(PROPERTIES)}", "--", name]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, and a name behind --
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ASK_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
