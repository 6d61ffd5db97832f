"""The health check of the container, as a process, and what reports to it: edged's own edge, or something else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edged.edges.systemd import Systemd
from tests.fakes import FakeClock

HEALTHCHECK = Path(__file__).parents[1] / "container" / "healthcheck.py"
SHORT, LONG = 500_000, 240_000_000  # microseconds: to hear nothing, and to hear something on a busy machine


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    return f"@edged-test-{os.getpid()}-{request.node.name}"[:100]


def environ(address: str, usec: int) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(usec)}


def checked(variables: dict[str, str], meanwhile: Callable[[], object] = lambda: None) -> tuple[int, str]:
    """Exit code and words of one check, while something is done over and over."""
    command = [sys.executable, "-IS", str(HEALTHCHECK)]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as check:
        while check.poll() is None:
            meanwhile()
        assert check.stdout is not None
        return check.returncode, check.stdout.read()


@pytest.fixture
def sender(address: str) -> Iterator[Callable[[bytes], None]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:

        def send(line: bytes) -> None:
            try:
                sender.sendto(line, "\0" + address[1:])
            except ConnectionRefusedError:
                return  # nobody listens yet, or no longer

        yield send


def test_finished_turns_of_edged_are_heard(address: str) -> None:
    clock = FakeClock()
    systemd = Systemd(clock, environ(address, LONG))

    def turn() -> None:
        clock.sleep(LONG / 1e6)
        systemd.beat()

    assert checked(environ(address, LONG), turn) == (0, "")
    assert systemd._socket is not None
    systemd._socket.close()


def test_silence_is_no_health(address: str) -> None:
    code, words = checked(environ(address, SHORT))
    assert code == 1
    assert "expected a finished turn within 0.5 s" in words


def test_what_is_no_finished_turn_does_not_count(address: str, sender: Callable[[bytes], None]) -> None:
    code, words = checked(environ(address, SHORT), lambda: sender(b"STATUS=WATCHDOG=1 is near\nREADY=1"))
    assert code == 1
    assert "finished turn" in words


def test_a_name_that_is_taken_is_told(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind("\0" + address[1:])
        code, words = checked(environ(address, SHORT))
    assert code == 1
    assert f"cannot listen at {address} (Address already in use)" in words


@pytest.mark.parametrize("missing", ["NOTIFY_SOCKET", "WATCHDOG_USEC"])
def test_without_the_variables_of_the_image_it_says_so(address: str, missing: str) -> None:
    variables = environ(address, SHORT)
    del variables[missing]
    assert checked(variables) == (
        1,
        "expected NOTIFY_SOCKET and WATCHDOG_USEC, as the image sets them; leave them as they are\n",
    )
