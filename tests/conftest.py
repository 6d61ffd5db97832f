"""What all tests share: how many examples hypothesis tries, and real brokers on loopback."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.https_server import HttpsServer
from tests.mosquitto import Mosquitto

EMULATED = bool(os.environ.get("EDGED_EMULATED"))
CI = bool(os.environ.get("CI"))

LONG = pytest.mark.skipif(EMULATED, reason="hours of pictures; the short ones call the same numpy code")

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "emulated", deadline=None, derandomize=True, max_examples=10, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("emulated" if EMULATED else "ci" if CI else "default")


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


@pytest.fixture(scope="session")
def _one_https_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    server = HttpsServer(tmp_path_factory.mktemp("https"))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def https_server(_one_https_server: HttpsServer, monkeypatch: pytest.MonkeyPatch) -> HttpsServer:
    """An https server on loopback that was asked for nothing yet; what it answers is for the test to say."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    _one_https_server.asked.clear()
    return _one_https_server
