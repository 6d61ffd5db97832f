"""Listening to a real broker, as a person's commands do."""

from __future__ import annotations

import socket

import pytest

from edged.edges.mqtt_subscriber import Subscriber
from tests.fakes import until
from tests.mosquitto import Mosquitto


def publish(where: Mosquitto, topic: str, payload: bytes, retain: bool = False) -> None:
    import paho.mqtt.publish

    paho.mqtt.publish.single(topic, payload, qos=1, retain=retain, hostname=where.host, port=where.port)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_hears_what_it_asked_for_and_what_was_there_before(mosquitto: Mosquitto, prefix: str, protocol: str) -> None:
    heard: list[tuple[str, bytes, bool]] = []
    publish(mosquitto, f"{prefix}/a/state", b"ON", retain=True)
    subscriber = Subscriber(
        mosquitto.host, mosquitto.port, protocol, [f"{prefix}/a/#", f"{prefix}/b"], lambda *how: heard.append(how)
    )
    assert subscriber.start(60.0)
    try:
        until(lambda: heard == [(f"{prefix}/a/state", b"ON", True)])
        publish(mosquitto, f"{prefix}/c", b"not asked for")
        publish(mosquitto, f"{prefix}/b", b"1")
        publish(mosquitto, f"{prefix}/a/event", b"2")
        until(lambda: len(heard) >= 3)
        assert heard[1:] == [(f"{prefix}/b", b"1", False), (f"{prefix}/a/event", b"2", False)]
    finally:
        subscriber.stop()


def test_without_a_broker_it_says_so_and_can_be_ended() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        subscriber = Subscriber("127.0.0.1", probe.getsockname()[1], "5", ["a"], lambda *_: None)
        assert not subscriber.start(0.1)
        subscriber.stop()


def test_listens_again_when_the_broker_is_back(own_mosquitto, prefix: str) -> None:
    broker: Mosquitto = own_mosquitto()
    broker.start()
    heard: list[bytes] = []
    subscriber = Subscriber(
        broker.host, broker.port, "5", [f"{prefix}/#"], lambda _t, payload, _r: heard.append(payload)
    )
    assert subscriber.start(60.0)
    try:
        broker.stop()
        broker.start()
        publish(broker, f"{prefix}/a", b"1", retain=True)
        until(lambda: heard == [b"1"], 60.0)
    finally:
        subscriber.stop()
