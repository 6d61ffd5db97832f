"""A socket between this process and QEMU, as lines of text."""

from __future__ import annotations

import contextlib
import socket
import time


class MachineError(AssertionError):
    """The machine did not do what a test asked of it."""


class Port:
    """One end of a pair of sockets. Made before the machine, which inherits `theirs`."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._rest = b""

    def send(self, line: str) -> None:
        self._ours.sendall(line.encode() + b"\n")

    def receive(self, timeout_s: float) -> str | None:
        """The next line, or None when none came in time."""
        limit_s = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left_s = limit_s - time.monotonic()
            if left_s <= 0:
                return None
            self._ours.settimeout(left_s)
            with contextlib.suppress(TimeoutError):
                data = self._ours.recv(65536)
                if not data:
                    raise MachineError("the virtual machine ended")
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()
