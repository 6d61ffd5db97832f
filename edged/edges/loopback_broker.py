"""A broker of our own on loopback, for the demo and for nothing else: no login, nothing kept.

A mosquitto on the PATH, else the embedded amqtt of the extra `[demo]`, which speaks MQTT 3.1.1 only. Either runs as a
child process and is ended with the `with`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from edged.core.errors import EdgedError
from edged.ports import Clock

_START_S = 15.0

_AMQTT = """
import asyncio, logging, sys
from amqtt.broker import Broker

async def serve():
    logging.disable(logging.CRITICAL)
    listeners = {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": listeners, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()

asyncio.run(serve())
"""


class LoopbackBroker:
    """A broker as long as the `with` lasts.

    Attributes:
        host, port: where it listens, on loopback only.
        protocol: the newest MQTT that it speaks, "5" or "3.1.1".
        name: which broker it is, for people.
    """

    host = "127.0.0.1"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        # Debian puts it in sbin, which is not on every user's PATH.
        self._mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        self.port = _free_port()
        self.protocol = "5" if self._mosquitto else "3.1.1"
        self.name = "mosquitto (MQTT 5)" if self._mosquitto else "embedded amqtt (MQTT 3.1.1)"

    def __enter__(self) -> LoopbackBroker:
        """Starts it and waits until it listens.

        Raises:
            EdgedError: there is none to start, or it does not come up.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="edged-broker-")
        self._process = subprocess.Popen(  # noqa: S603
            self._command(Path(self._folder.name)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C goes to the whole group of a terminal; the broker is to hear the last words first.
            start_new_session=True,
        )
        stop_s = self._clock.monotonic() + _START_S
        while self._clock.monotonic() < stop_s and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1.0):
                return self
            self._clock.sleep(0.05)
        self.__exit__(None, None, None)
        raise EdgedError(f"the broker {self.name} did not start on {self.host}:{self.port}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._folder is not None:
            self._folder.cleanup()

    def _command(self, folder: Path) -> list[str]:
        if self._mosquitto:
            config = folder / "mosquitto.conf"
            lines = [f"listener {self.port} {self.host}", "allow_anonymous true", "persistence false"]
            config.write_text("\n".join([*lines, "set_tcp_nodelay true", ""]), encoding="utf-8")
            return [self._mosquitto, "-c", str(config)]
        if importlib.util.find_spec("amqtt") is None:
            raise EdgedError(
                "no broker to demonstrate with: expected mosquitto on the PATH or the package amqtt; "
                "install the one (apt install mosquitto) or the other (pip install 'edged[demo]')"
            )
        return [sys.executable, "-c", _AMQTT, str(self.port)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
