"""systemd's services, asked by `systemctl show` and `systemctl cat`, which need no right and change nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence

from edged.core.service_findings import Unit

ASK_S = 5.0
PROPERTIES = (
    *("LoadState", "ActiveState", "UnitFileState", "Result", "ExecMainStatus", "NRestarts", "MainPID", "User"),
    *("MemoryMax", "LimitCORE", "IPAddressAllow", "IPAddressDeny", "NeedDaemonReload"),
    *("ProtectHome", "InaccessiblePaths"),
)
HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= is about, see systemd.exec(5)."""

Ask = Callable[[Sequence[str]], str | None]
"""From words for systemctl to what it says; None where there is nobody to ask, or it fails."""


def show(name: str, ask: Ask | None = None) -> Unit | None:
    """A service; None where systemd does not run, or does not answer in time."""
    ask = ask or _systemctl
    text = ask(("show", f"--property={','.join(PROPERTIES)}", "--", name))
    if text is None:
        return None
    values = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    files = ask(("cat", "--", name)) if values.get("LoadState") == "loaded" else None
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
        hidden=_hidden(values),
        credentials=_credentials(files or ""),
        is_stale=values.get("NeedDaemonReload") == "yes",
    )


def _hidden(values: Mapping[str, str]) -> tuple[str, ...]:
    homes = HOMES if values.get("ProtectHome") in ("yes", "tmpfs") else ()
    # "-": where it exists; "+": below the unit's RootDirectory=, which edged's has not.
    return *homes, *(word.lstrip("-+") for word in values.get("InaccessiblePaths", "").split())


def _credentials(files: str) -> dict[str, str]:
    """What the files of a unit load, in their order: `show` calls it unprintable (seen with systemd 252 to 257)."""
    found = dict[str, str]()
    for line in files.splitlines():
        key, _, value = line.strip().partition("=")
        if key == "LoadCredential":
            name, _, path = value.strip().partition(":")
            if not name:
                found.clear()  # an empty line takes back what came before
            else:
                found[name] = path
    return found


def _number(text: str | None) -> int | None:
    """A number; None for `infinity` and for what is not there."""
    return int(text) if text and text.isdecimal() else None


def _systemctl(words: Sequence[str]) -> str | None:
    command = ["systemctl", "--no-pager", *words]
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
