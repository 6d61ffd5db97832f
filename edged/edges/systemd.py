"""What systemd wants to hear: READY, WATCHDOG, STATUS, STOPPING (sd_notify(3)), and what it knows of the last run.

A datagram of one line; the packaged libraries for it are unmaintained or need a compiler, and this is all of it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from edged.ports import Clock

RESULT = "result"
"""The file in the unit's runtime folder where its `ExecStopPost=` leaves how the process ended."""
MAX_RESULT = 200


def watchdog_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """How long systemd waits for a sign of life; None without a watchdog."""
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isascii() and usec.isdecimal() and int(usec) else None


def last_result(environ: Mapping[str, str] = os.environ) -> str | None:
    """`SERVICE_RESULT EXIT_CODE EXIT_STATUS` of the last run, unchecked; None where nobody left it.

    It is taken away, so that no later run is explained by it. The folder does not outlive the power.
    """
    folder = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if not folder:
        return None
    path = Path(folder, RESULT)
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            line = file.read(MAX_RESULT)
        path.unlink()
    except OSError:
        return None
    return line.strip()


class Systemd:
    """The notification socket of the unit; silent where nobody listens.

    Args:
        environ: NOTIFY_SOCKET and WATCHDOG_USEC are read from it.
    """

    def __init__(self, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        self._clock = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        # A third of what systemd waits for: one lost datagram is no death.
        self._period_s = (watchdog_s(environ) or float("inf")) / 3
        self._next_s = float("-inf")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        if self._socket is not None:
            # A listener that does not read must not stop the loop.
            self._socket.setblocking(False)

    def ready(self) -> None:
        """The model is loaded and the loop is about to turn."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """A clean end has begun; not for a restart, see `restarting`."""
        self._send("STOPPING=1")

    def restarting(self) -> None:
        """A clean end is over and the same process starts anew; for systemd the service goes on, and nothing stops.

        After STOPPING=1 systemd would wait for the end and kill the process TimeoutStopSec= later: no READY=1 takes it
        back. The watchdog is fed, so that all of its time is there for the start.
        """
        if self._period_s != float("inf"):
            self._send("WATCHDOG=1")

    def beat(self) -> None:
        """A turn of the loop is finished: feeds the watchdog when it is time."""
        if self._socket is None:
            return
        now_s = self._clock.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + self._period_s
            if self._period_s != float("inf"):
                self._send("WATCHDOG=1")

    def _send(self, line: str) -> None:
        if self._socket is None:
            return
        name = self._address
        address = "\0" + name[1:] if name.startswith("@") else name
        try:
            self._socket.sendto(line.encode(), address)
        except OSError:
            # systemd restarts what it does not hear from; a full socket now is no reason to end the process here.
            return
