"""How the last run ended, in words for `D/info`: what it wrote itself, and what systemd knows of a run that could not.

Law: what a process wrote of its own end is never overwritten. No path, address, login or URL goes on: neither from an
error nor from a file, whoever wrote that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edged.core.errors import CameraHung, ConfigError, EdgedError, ModelError

OPEN = {"code": None, "reason": "killed, or the power went"}
"""Written at the start: what is true if nothing is written at the end."""
MAX_REASON = 200
STOPPED = ["success", "exited", "0"]
"""A run that ended as it was asked to, and could not write that down: the disk is full, or worn out."""
CONFIG_CODE = 78
"""A process that ended so had not begun to run: it says nothing about the run before it."""

_CRASHES = frozenset({"SEGV", "BUS", "ILL", "FPE", "TRAP", "SYS"})
_SIGNALS = frozenset({"HUP", "INT", "QUIT", "USR1", "USR2", "PIPE", "ALRM", "TERM", "XCPU", "XFSZ"})


UNTOLD = "the journal says why"
"""For a reason that is not to be published."""
_PRIVATE = re.compile(r"[/\\@]|\d+\.\d+\.\d+\.\d+|[0-9A-Fa-f]*:[0-9A-Fa-f]*:")
"""What every path, URL, login and numeric address has in it, and no sentence of this program that needs none."""
_KINDS: Mapping[type[EdgedError], str] = {
    ModelError: "the model could not be used",
    ConfigError: "the configuration could not be used",
    CameraHung: "the camera's driver did not come back",
}


def reason(error: BaseException) -> str:
    """Why a process ends, in words that may be published: its own sentence, or what kind of trouble it was.

    The sentences about the configuration and the model are for the person at the terminal: they begin with a file.
    """
    if not isinstance(error, EdgedError):
        return type(error).__name__
    if isinstance(error, ModelError | ConfigError) or _PRIVATE.search(str(error)):
        return f"{_KINDS.get(type(error), 'it failed while running')}; {UNTOLD}"
    return str(error)[:MAX_REASON]


def read(kept: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the state folder says of the last end; nothing that a damaged file may hold besides goes out."""
    code, why = kept.get("code"), kept.get("reason")
    if not isinstance(why, str) or not isinstance(code, int | None):
        return None
    return {"code": code, "reason": UNTOLD if _PRIVATE.search(why) else why[:MAX_REASON]}


def refined(last_exit: dict[str, Any] | None, result: str | None, watchdog_s: float | None) -> dict[str, Any] | None:
    """The same, with the reason that systemd knows where the process left it open.

    Args:
        result: `SERVICE_RESULT EXIT_CODE EXIT_STATUS` of the last run (systemd.exec(5)); None where nobody wrote it.
        watchdog_s: how long systemd waits for a sign of life.
    """
    if last_exit != OPEN or result is None:
        return last_exit
    why, code = _words(result.split(), watchdog_s)
    return last_exit if why is None else {"code": code, "reason": why}


def _words(fields: list[str], watchdog_s: float | None) -> tuple[str | None, int | None]:
    """The reason and the exit code; None for what says nothing, or is no line of systemd."""
    if len(fields) != 3:
        return None, None
    result, _, status = fields
    if result == "watchdog":
        time = "in its time" if watchdog_s is None else f"for {watchdog_s:g} s"
        return f"the watchdog: no finished turn {time}", None
    if result == "oom-kill":
        return "out of memory: the kernel ended it", None
    if result == "timeout":
        return "systemd's time for it to start or to stop was over", None
    if result in ("signal", "core-dump"):
        return _of_signal(status), None
    if fields == STOPPED:
        return "stopped", 0
    if result == "exit-code" and status.isascii() and status.isdecimal() and int(status) not in (0, CONFIG_CODE):
        code = min(int(status), 255)
        return f"it ended with exit code {code} and could not say why", code
    return None, None


def _of_signal(name: str) -> str | None:
    if name == "KILL":
        return "killed (SIGKILL): by hand, or by the kernel because memory ran out"
    if name == "ABRT":
        return "aborted (SIGABRT)"
    if name in _CRASHES:
        return f"crashed (SIG{name})"
    return f"ended by a signal (SIG{name})" if name in _SIGNALS else None
