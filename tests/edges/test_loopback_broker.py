"""The broker of the demo: there as long as the `with` lasts, on loopback only."""

from __future__ import annotations

import socket

import pytest

from edged.edges.clock import SystemClock
from edged.edges.loopback_broker import LoopbackBroker
from edged.edges.mqtt_subscriber import Subscriber
from tests.mosquitto import Mosquitto


def is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5.0).close()
    except OSError:
        return False
    return True


@pytest.mark.usefixtures("mosquitto")
class TestWithMosquitto:
    def test_it_is_there_and_then_gone(self) -> None:
        with LoopbackBroker(SystemClock()) as broker:
            assert (broker.host, broker.protocol, broker.name) == ("127.0.0.1", "5", "mosquitto (MQTT 5)")
            subscriber = Subscriber(broker.host, broker.port, broker.protocol, ["a"], lambda *_: None)
            assert subscriber.start(60.0)
            subscriber.stop()
        assert not is_open(broker.host, broker.port)

    def test_nobody_outside_can_reach_it(self) -> None:
        with LoopbackBroker(SystemClock()) as broker:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect(("192.0.2.1", 9))  # sends nothing, finds out our own address
                except OSError:
                    pytest.skip("this machine has loopback only")
                address = probe.getsockname()[0]
            assert is_open(broker.host, broker.port)
            assert not is_open(address, broker.port)

    def test_it_ends_with_what_went_wrong_inside(self) -> None:
        broker = LoopbackBroker(SystemClock())
        with pytest.raises(RuntimeError, match="inside"), broker:
            raise RuntimeError("inside")
        assert not is_open(broker.host, broker.port)

    def test_two_do_not_disturb_each_other(self, mosquitto: Mosquitto) -> None:
        with LoopbackBroker(SystemClock()) as first, LoopbackBroker(SystemClock()) as second:
            assert len({first.port, second.port, mosquitto.port}) == 3
            assert is_open(first.host, first.port)
            assert is_open(second.host, second.port)
