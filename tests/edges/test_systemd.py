"""The notifications, read from the other end of a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.edges.systemd import MAX_RESULT, RESULT, Systemd, last_result, watchdog_s
from tests.fakes import FakeClock


class Listener:
    """The end that systemd would hold."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Everything that has come: a local datagram is there as soon as it was sent."""
        lines = []
        while True:
            try:
                lines.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return lines


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    # A socket's path has 108 characters at most, the test's folder may have more.
    short = Path(os.path.relpath(tmp_path))
    address = f"@edged-test-{os.getpid()}" if request.param == "abstract" else str(short / "notify")
    listener = Listener(address)
    yield listener
    listener.socket.close()


def close(systemd: Systemd) -> None:
    if systemd._socket is not None:
        systemd._socket.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def notifier(clock: FakeClock, listener: Listener, usec: str | None) -> Systemd:
    environ = {"NOTIFY_SOCKET": listener.address}
    return Systemd(clock, {**environ, **({} if usec is None else {"WATCHDOG_USEC": usec})})


def test_what_systemd_hears(clock: FakeClock, listener: Listener) -> None:
    systemd = notifier(clock, listener, None)
    systemd.ready()
    systemd.status("10.0 fps, camera ok … gut")
    systemd.stopping()
    assert listener.heard() == ["READY=1", "STATUS=10.0 fps, camera ok … gut", "STOPPING=1"]
    close(systemd)


def test_the_watchdog_is_fed_three_times_a_period_however_often_the_loop_turns(
    clock: FakeClock, listener: Listener
) -> None:
    systemd = notifier(clock, listener, "30000000")
    for _ in range(4 * 60):
        systemd.beat()
        clock.advance(0.25)
    assert listener.heard() == ["WATCHDOG=1"] * 6
    close(systemd)


@pytest.mark.parametrize(("usec", "heard"), [("30000000", ["WATCHDOG=1"] * 2), (None, [])])
def test_a_restart_is_no_stop_and_feeds_the_watchdog_once_more(
    clock: FakeClock, listener: Listener, usec: str | None, heard: list[str]
) -> None:
    systemd = notifier(clock, listener, usec)
    systemd.beat()
    systemd.restarting()
    assert listener.heard() == heard
    close(systemd)


def test_a_loop_that_stands_still_feeds_nothing(clock: FakeClock, listener: Listener) -> None:
    systemd = notifier(clock, listener, "30000000")
    systemd.beat()
    clock.advance(1000.0)
    assert listener.heard() == ["WATCHDOG=1"]
    systemd.beat()
    assert listener.heard() == ["WATCHDOG=1"]
    close(systemd)


def test_what_systemd_left_of_the_last_run_is_read_once(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path}:/elsewhere"}
    assert last_result(environ) is None
    (tmp_path / RESULT).write_text("watchdog killed ABRT\n", encoding="ascii")
    assert last_result(environ) == "watchdog killed ABRT"
    assert last_result(environ) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_instead_of_a_line_is_bounded_and_no_error(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    (tmp_path / RESULT).write_bytes(b"\xff\x00" * 5000)
    assert len(last_result(environ) or "") == MAX_RESULT
    (tmp_path / RESULT).mkdir()
    assert last_result(environ) is None
    assert last_result({}) is None
    assert last_result({"RUNTIME_DIRECTORY": "/nowhere"}) is None


@pytest.mark.parametrize(("usec", "expected"), [("30000000", 30.0), ("0", None), ("", None), ("soon", None)])
def test_how_long_systemd_waits(usec: str, expected: float | None) -> None:
    assert watchdog_s({"WATCHDOG_USEC": usec}) == expected
    assert watchdog_s({}) is None


@pytest.mark.parametrize("usec", [None, "", "0"])
def test_without_a_watchdog_nothing_is_fed(clock: FakeClock, listener: Listener, usec: str | None) -> None:
    systemd = notifier(clock, listener, usec)
    for _ in range(10):
        systemd.beat()
        clock.advance(60.0)
    assert listener.heard() == []
    close(systemd)


def test_without_systemd_it_is_silent(clock: FakeClock) -> None:
    systemd = Systemd(clock, {"WATCHDOG_USEC": "1000000"})
    systemd.ready()
    systemd.beat()
    systemd.stopping()
    assert systemd._socket is None


def test_a_listener_that_is_gone_is_no_reason_to_end(clock: FakeClock, tmp_path: Path) -> None:
    systemd = Systemd(clock, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000000"})
    systemd.ready()
    systemd.beat()
    close(systemd)


@pytest.mark.timeout(60)
def test_a_listener_that_does_not_read_never_stops_the_loop(clock: FakeClock, listener: Listener) -> None:
    systemd = notifier(clock, listener, "3000000")
    for _ in range(10_000):
        clock.advance(1.0)
        systemd.beat()
    heard = listener.heard()
    assert 0 < len(heard) < 10_000
    systemd.ready()
    assert listener.heard() == ["READY=1"]
    close(systemd)
