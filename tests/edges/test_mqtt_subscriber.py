"""Listening to a real broker, as a person's commands do."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

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


def login(tmp_path: Path, own_mosquitto: Callable[..., Mosquitto], *lines: str) -> Mosquitto:
    """A broker that knows the user anna with the password right, started."""
    secrets = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if tool is None:
        pytest.skip("no mosquitto_passwd beside mosquitto")
    subprocess.run([tool, "-c", "-b", secrets, "anna", "right"], check=True, capture_output=True)
    broker = own_mosquitto("allow_anonymous false", f"password_file {secrets}", *lines)
    broker.start()
    return broker


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_login_is_right_or_told(own_mosquitto, tmp_path: Path, prefix: str, protocol: str) -> None:
    broker = login(tmp_path, own_mosquitto)
    for name, password, ok in (("anna", "right", True), ("anna", "wrong", False), (None, None, False)):
        said: list[str | None] = []
        subscriber = Subscriber(
            *(broker.host, broker.port, protocol, [f"{prefix}/#"], lambda *_: None),
            username=name,
            password=password,
            on_state=said.append,
        )
        subscriber.start(0.0)
        until(lambda said=said: bool(said), 60.0)
        subscriber.stop()
        if ok:
            assert said == [None]
        else:
            assert len(said) == 1
            assert (said[0] or "").startswith("the broker refuses the login (")
            assert "wrong" not in (said[0] or "")


def test_what_it_says_comes_on_change_alone(own_mosquitto, prefix: str) -> None:
    broker: Mosquitto = own_mosquitto()
    said: list[str | None] = []
    subscriber = Subscriber(
        broker.host, broker.port, "5", [f"{prefix}/#"], lambda *_: None, on_state=said.append, keepalive_s=5
    )
    assert not subscriber.start(1.5)  # two tries
    assert said == ["the broker cannot be reached: Connection refused"]
    broker.start()
    until(lambda: len(said) == 2, 60.0)
    assert said[1] is None
    broker.stop()
    until(lambda: len(said) >= 4, 60.0)
    assert "the connection to the broker ended" in (said[2] or "")
    assert said[3] == "the broker cannot be reached: Connection refused"
    subscriber.stop()


def test_an_exception_of_the_caller_does_not_end_it(mosquitto: Mosquitto, prefix: str) -> None:
    heard: list[bytes] = []

    def on_message(_topic: str, payload: bytes, _retained: bool) -> None:
        heard.append(payload)
        raise ValueError(payload)

    subscriber = Subscriber(mosquitto.host, mosquitto.port, "5", [f"{prefix}/#"], on_message)
    assert subscriber.start(60.0)
    try:
        for payload in (b"1", b"2"):
            publish(mosquitto, f"{prefix}/a", payload)
        until(lambda: heard == [b"1", b"2"])
    finally:
        subscriber.stop()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".lan"])
def test_a_name_that_leads_nowhere_is_told(host: str) -> None:
    said: list[str | None] = []
    subscriber = Subscriber(host, 1883, "5", ["a"], lambda *_: None, on_state=said.append)
    subscriber.start(0.0)
    until(lambda: bool(said), 60.0)
    assert (said[0] or "").startswith("the broker cannot be reached: ")
    subscriber.stop()


def test_clears_what_is_retained_and_tells_what_the_broker_refuses(own_mosquitto, tmp_path: Path, prefix: str) -> None:
    rules = tmp_path / "acl"
    rules.write_text(f"topic readwrite {prefix}/own/#\ntopic read {prefix}/#\n")
    rules.chmod(0o600)
    broker: Mosquitto = own_mosquitto(f"acl_file {rules}")
    broker.start()
    heard: list[tuple[str, bytes, bool]] = []
    subscriber = Subscriber(broker.host, broker.port, "5", [f"{prefix}/#"], lambda *how: heard.append(how))
    assert subscriber.start(60.0)
    try:
        publish(broker, f"{prefix}/own/a", b"1", retain=True)
        assert subscriber.clear([f"{prefix}/own/a", f"{prefix}/other"], 60.0) == {f"{prefix}/other": "Not authorized"}
        until(lambda: (f"{prefix}/own/a", b"", False) in heard)
        broker.freeze()
        assert subscriber.clear([f"{prefix}/own/a"], 0.2) == {f"{prefix}/own/a": "no answer"}
        broker.thaw()
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
