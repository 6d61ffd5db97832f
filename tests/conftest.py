"""What all tests share: how many examples hypothesis tries, and real brokers on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes import until

EMULATED = bool(os.environ.get("EDGED_EMULATED"))
CI = bool(os.environ.get("CI"))

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "emulated", deadline=None, derandomize=True, max_examples=10, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("emulated" if EMULATED else "ci" if CI else "default")


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

    def thaw(self) -> None:
        """Lets it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def _program() -> str:
    # Debian puts it in sbin, which is not on every user's PATH.
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        no_broker = "no mosquitto on this machine (apt install mosquitto)"
        if CI:
            pytest.fail(no_broker)
        pytest.skip(no_broker)
    return found


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """One broker for all tests that do not disturb it; tests keep apart by `prefix`."""
    broker = Mosquitto(_program(), tmp_path_factory.mktemp("mosquitto"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def own_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Makes brokers for one test alone: own_mosquitto("allow_anonymous false", …); not yet started."""
    brokers: list[Mosquitto] = []

    def make(*lines: str) -> Mosquitto:
        folder = tmp_path / f"mosquitto-{len(brokers)}"
        folder.mkdir()
        brokers.append(Mosquitto(_program(), folder, *lines))
        return brokers[-1]

    try:
        yield make
    finally:
        for broker in brokers:
            broker.stop()


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"
