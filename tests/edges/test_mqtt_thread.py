"""paho's network thread: one that dies is replaced once, one that hangs or dies again ends the process."""

from __future__ import annotations

import ctypes
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edged.core.types import Message
from edged.edges import tls
from edged.edges.mqtt import ALIVE_CHECK_S, CONNECT_HUNG_S, DEATHS_S, HUNG_S, PahoBroker
from edged.ports import Connected, Disconnected, Notice, RunError
from tests.fakes import FakeClock, until
from tests.mosquitto import Mosquitto

DIES = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""What ends the thread is raised in it."""


class BlockedClock(FakeClock):
    """A clock that does not answer whether it is synced; what asks is stuck, as in a library that hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.asked = threading.Event()

    def is_synced(self) -> bool:
        self.asked.set()
        return self.go.wait(60.0)


@pytest.fixture
def client_id(prefix: str) -> str:
    return f"edged-{prefix}"


@pytest.fixture
def blocked() -> Iterator[BlockedClock]:
    clock = BlockedClock()
    yield clock
    clock.go.set()


def connection(where: tuple[str, int], client_id: str, clock: FakeClock, **changes: Any) -> PahoBroker:
    will = Message(f"{client_id}/availability", b"offline", 1, True)
    values: dict[str, Any] = {"protocol": "5", "keepalive_s": 30, "username": None, "password": lambda: None}
    return PahoBroker(*where, client_id=client_id, will=will, clock=clock, **{**values, **changes})


def network_thread(client_id: str) -> threading.Thread | None:
    return next((one for one in threading.enumerate() if one.name == f"paho-mqtt-client-{client_id}"), None)


def wait_for(broker: PahoBroker, kind: type[Notice]) -> Any:
    found: list[Notice] = []

    def came() -> bool:
        while (notice := broker.poll()) is not None:
            found.append(notice)
        return any(isinstance(notice, kind) for notice in found)

    until(came, 60.0)
    return next(notice for notice in found if isinstance(notice, kind))


def kill(thread: threading.Thread) -> None:
    """Ends a thread from outside: SystemExit is raised in it, at its next line of Python."""
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    until(lambda: not thread.is_alive(), 60.0)


def die(broker: PahoBroker, client_id: str) -> None:
    thread = network_thread(client_id)
    assert thread is not None
    kill(thread)


def looks(broker: PahoBroker, clock: FakeClock, seconds: float) -> None:
    """Lets that many seconds pass, a look at a time."""
    for _ in range(round(seconds / ALIVE_CHECK_S)):
        clock.advance(ALIVE_CHECK_S)
        assert broker.poll() is None


@DIES
def test_a_network_thread_that_dies_is_found_and_replaced(mosquitto: Mosquitto, client_id: str) -> None:
    clock = FakeClock()
    broker = connection((mosquitto.host, mosquitto.port), client_id, clock)
    broker.start()
    wait_for(broker, Connected)
    die(broker, client_id)
    clock.advance(ALIVE_CHECK_S)
    assert wait_for(broker, Disconnected) == Disconnected("the network thread has ended by itself")
    clock.advance(60.0)
    wait_for(broker, Connected)
    clock.advance(DEATHS_S)
    die(broker, client_id)
    clock.advance(ALIVE_CHECK_S)
    wait_for(broker, Disconnected)
    broker.stop(0)


@DIES
def test_a_thread_that_an_earlier_connection_left_behind_is_not_taken_for_the_present_one(
    mosquitto: Mosquitto, client_id: str
) -> None:
    """All of a device have the same name."""
    go = threading.Event()
    behind = threading.Thread(target=go.wait, name=f"paho-mqtt-client-{client_id}", daemon=True)
    clock = FakeClock()
    broker = connection((mosquitto.host, mosquitto.port), client_id, clock)
    broker.start()
    wait_for(broker, Connected)
    present = network_thread(client_id)
    behind.start()
    try:
        assert present is not None
        kill(present)
        assert network_thread(client_id) is behind
        clock.advance(ALIVE_CHECK_S)
        assert wait_for(broker, Disconnected) == Disconnected("the network thread has ended by itself")
    finally:
        go.set()
        broker.stop(0)


@DIES
def test_one_that_dies_again_soon_ends_the_process(mosquitto: Mosquitto, client_id: str) -> None:
    clock = FakeClock()
    broker = connection((mosquitto.host, mosquitto.port), client_id, clock)
    broker.start()
    wait_for(broker, Connected)
    die(broker, client_id)
    clock.advance(ALIVE_CHECK_S)
    wait_for(broker, Disconnected)
    clock.advance(60.0)
    wait_for(broker, Connected)
    die(broker, client_id)
    clock.advance(ALIVE_CHECK_S)
    with pytest.raises(RunError, match="ended by itself twice within 600 s"):
        broker.poll()
    broker.stop(0)


def test_one_that_hangs_ends_the_process(blocked: BlockedClock, client_id: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = ("127.0.0.1", probe.getsockname()[1])
    broker = connection(nobody, client_id, blocked)
    broker.start()
    until(blocked.asked.is_set, 60.0)
    looks(broker, blocked, HUNG_S)
    blocked.advance(ALIVE_CHECK_S)
    with pytest.raises(RunError, match="the network thread has not come back for 120 s"):
        broker.poll()


def test_one_that_hangs_is_found_after_its_connection_was_given_up(blocked: BlockedClock, client_id: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = ("127.0.0.1", probe.getsockname()[1])
    broker = connection(nobody, client_id, blocked)
    broker.start()
    until(blocked.asked.is_set, 60.0)
    broker.drop("the broker has not answered for 15 s", wait_s=1e6)
    assert isinstance(broker.poll(), Disconnected)
    with pytest.raises(RunError, match="the network thread has not come back"):
        looks(broker, blocked, 2 * HUNG_S)


def test_connecting_may_take_minutes_but_not_for_ever(client_id: str) -> None:
    """A server that takes the connection and never says a word of TLS: for five seconds the thread is in one call."""
    clock = FakeClock()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        context = tls.context(None, None, None, True, None)
        broker = connection(("127.0.0.1", silent.getsockname()[1]), client_id, clock, tls=context)
        broker.start()
        peer, _ = silent.accept()
        with peer:
            peer.recv(1)
            looks(broker, clock, CONNECT_HUNG_S)
            clock.advance(ALIVE_CHECK_S)
            with pytest.raises(RunError, match="connecting to the broker has not come back for 300 s"):
                broker.poll()


def test_a_process_that_did_not_run_for_an_hour_is_not_taken_for_one_that_hangs(
    mosquitto: Mosquitto, client_id: str
) -> None:
    clock = FakeClock()
    broker = connection((mosquitto.host, mosquitto.port), client_id, clock)
    broker.start()
    wait_for(broker, Connected)
    for _ in range(10):
        clock.advance(3600.0)
        assert broker.poll() is None
    broker.stop(0)


def test_an_idle_connection_is_a_living_one(mosquitto: Mosquitto, client_id: str) -> None:
    clock = FakeClock()
    broker = connection((mosquitto.host, mosquitto.port), client_id, clock)
    broker.start()
    wait_for(broker, Connected)
    client = broker._client
    assert client is not None
    for _ in range(3):
        turns = client.turns
        until(lambda turns=turns: client.turns > turns, 60.0)  # type: ignore[misc]
        looks(broker, clock, HUNG_S - ALIVE_CHECK_S)
    broker.stop(0)
