"""A real mosquitto, as a child process on loopback, that a test can stop, start again, freeze and thaw."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.fakes import until


class Mosquitto:
    """A real broker on a port of its own on loopback; it can be stopped, started again, frozen and thawed.

    Args:
        folder: for its configuration.
        lines: more lines of configuration.
    """

    host = "127.0.0.1"

    def __init__(self, program: str, folder: Path, *lines: str) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port: int = probe.getsockname()[1]
        own = (f"listener {self.port} {self.host}", "persistence false", "set_tcp_nodelay true")
        # Started by root it would become the user mosquitto, who cannot read a test's files.
        user = ("user root",) if os.geteuid() == 0 else ()
        login = () if any(line.startswith("allow_anonymous") for line in lines) else ("allow_anonymous true",)
        self._config.write_text("\n".join((*own, *user, *login, *lines, "")), encoding="utf-8")

    def start(self) -> None:
        """Starts it and waits until it listens."""
        assert self._process is None
        command = [self._program, "-c", str(self._config)]
        process = self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listens() -> bool:
            assert process.poll() is None, f"mosquitto ended with {process.returncode}"
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1.0):
                return True
            return False

        until(listens, 60.0)

    def stop(self) -> None:
        """Kills it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Lets it hang: connections stay open and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def reload(self) -> None:
        """Has it read its ACL file again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
