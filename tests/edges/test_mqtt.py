"""The connection to a real broker: what it says comes back as notices, and whatever happens to it, it heals."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edged.core.types import Message
from edged.edges import mqtt_client
from edged.edges.mqtt import PahoBroker
from edged.ports import Acknowledged, ConfigError, Connected, Disconnected, Notice, Received
from tests.fakes import FakeClock, until
from tests.mosquitto import Mosquitto

Own = Callable[..., Mosquitto]
WILL_DELAY_S = 20 if os.environ.get("EDGED_EMULATED") else 2


class Peer:
    """A broker edge under test, with every notice that it gave."""

    def __init__(self, where: Mosquitto | tuple[str, int], prefix: str, **changes: Any) -> None:
        host, port = (where.host, where.port) if isinstance(where, Mosquitto) else where
        self.clock = FakeClock()
        self.topic = f"{prefix}/availability"
        values: dict[str, Any] = {
            "client_id": f"edged-{prefix}",
            "protocol": "5",
            "keepalive_s": 30,
            "will": Message(self.topic, b"offline", 1, True),
            "username": None,
            "password": lambda: None,
            "clock": self.clock,
        }
        self.broker = PahoBroker(host, port, **{**values, **changes})
        self.notices: list[Notice] = []

    def poll(self) -> list[Notice]:
        while (notice := self.broker.poll()) is not None:
            self.notices.append(notice)
        return self.notices

    def wait_for(self, kind: type[Notice], timeout_s: float = 60.0) -> Any:
        """The next notice of a kind; time passes for the back-off, so that every try comes at once."""
        begin = len(self.notices)

        def came() -> bool:
            return any(isinstance(notice, kind) for notice in self.poll()[begin:])

        until(came, timeout_s)
        return next(notice for notice in self.notices[begin:] if isinstance(notice, kind))

    def connect(self) -> Connected:
        self.broker.start()
        connected = self.wait_for(Connected)
        assert isinstance(connected, Connected)
        return connected

    def say(self, message: Message) -> Acknowledged:
        """Publishes and waits for the answer."""
        mid = self.broker.publish(message)
        assert mid is not None
        until(lambda: any(isinstance(n, Acknowledged) and n.mid == mid for n in self.poll()), 60.0)
        return next(n for n in self.notices if isinstance(n, Acknowledged) and n.mid == mid)


def network_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("paho")}


Make = Callable[..., Peer]


@pytest.fixture
def peer(prefix: str) -> Iterator[Make]:
    """Makes peers and ends them all."""
    peers: list[Peer] = []

    def make(where: Mosquitto | tuple[str, int], **changes: Any) -> Peer:
        peers.append(Peer(where, prefix, **changes))
        return peers[-1]

    before = network_threads()
    yield make
    for one in peers:
        one.broker.stop(0)
    until(lambda: network_threads() <= before, 60.0)


class Ear:
    """A subscriber of MQTT 5 that keeps whole messages, properties included."""

    def __init__(self, where: Mosquitto, topic: str) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(where.host, where.port)
        self._client.loop_start()
        until(subscribed.is_set, 60.0)

    def payloads(self, topic: str) -> list[bytes]:
        return [message.payload for message in self.messages if message.topic == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def ear(prefix: str) -> Iterator[Callable[[Mosquitto], Ear]]:
    ears: list[Ear] = []

    def listen(where: Mosquitto) -> Ear:
        ears.append(Ear(where, f"{prefix}/#"))
        return ears[-1]

    yield listen
    for one in ears:
        one.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def event(prefix: str, expiry_s: int | None = 300) -> Message:
    return Message(f"{prefix}/event/cat", b'{"seq":1}', 1, False, expiry_s)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
class TestBothProtocols:
    def test_connects_and_is_told_of_every_acknowledgement(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, ear: Callable[[Mosquitto], Ear], protocol: str
    ) -> None:
        listening = ear(mosquitto)
        one = peer(mosquitto, protocol=protocol)
        assert one.connect() == Connected(window=8)
        for _ in range(3):
            assert one.say(event(prefix)).refused is None
        until(lambda: listening.payloads(f"{prefix}/event/cat") == [b'{"seq":1}'] * 3)

    def test_a_retained_topic_is_there_for_those_who_come_later(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, ear: Callable[[Mosquitto], Ear], protocol: str
    ) -> None:
        one = peer(mosquitto, protocol=protocol)
        one.connect()
        one.say(Message(one.topic, b"online", 1, True))
        one.say(event(prefix))
        one.say(Message(f"{prefix}/state/cat", b'{"state":"ON"}', 1, True))
        late = ear(mosquitto)
        until(lambda: len(late.messages) >= 2)
        assert {message.topic: message.retain for message in late.messages} == {
            one.topic: True,
            f"{prefix}/state/cat": True,
        }

    def test_a_clean_end_leaves_no_will(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, ear: Callable[[Mosquitto], Ear], protocol: str
    ) -> None:
        listening = ear(mosquitto)
        one, other = peer(mosquitto, protocol=protocol, will_delay_s=0), peer(mosquitto, client_id=f"other-{prefix}")
        one.connect()
        other.connect()
        one.broker.stop(0)
        other.say(Message(f"{prefix}/later", b"", 1, False))
        until(lambda: listening.payloads(f"{prefix}/later") != [])
        assert listening.payloads(one.topic) == []

    def test_after_the_end_nothing_is_taken_nothing_is_told_and_nothing_is_tried(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, protocol: str
    ) -> None:
        one = peer(mosquitto, protocol=protocol)
        one.connect()
        one.broker.stop(0)
        told = len(one.notices)
        one.clock.advance(1000.0)
        assert one.broker.publish(event(prefix)) is None
        assert len(one.poll()) == told
        one.broker.stop(0)

    def test_a_refused_login_is_told_once_and_tried_again(self, own_mosquitto: Own, peer: Make, protocol: str) -> None:
        broker = own_mosquitto("allow_anonymous false")
        broker.start()
        one = peer(broker, protocol=protocol, username="edged", password=lambda: "wrong")
        one.broker.start()
        assert one.wait_for(Disconnected).text.startswith("the broker refuses the login (")
        one.clock.advance(100.0)
        one.wait_for(Disconnected)
        assert [type(notice) for notice in one.notices] == [Disconnected, Disconnected]
        assert one.notices[0].text.endswith("authorized); check [mqtt] username and the password")

    def test_a_connection_that_is_given_up_leaves_the_will(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, ear: Callable[[Mosquitto], Ear], protocol: str
    ) -> None:
        """Should the device not come back, nobody is to take it for online."""
        listening = ear(mosquitto)
        before = network_threads()
        one = peer(mosquitto, protocol=protocol, will_delay_s=1)
        one.connect()
        one.say(Message(one.topic, b"online", 1, True))
        one.broker.drop("the broker has not answered for 15 s", 1e6)
        assert one.wait_for(Disconnected).text == "the broker has not answered for 15 s"
        until(lambda: listening.payloads(one.topic) == [b"online", b"offline"], 60.0)
        until(lambda: network_threads() <= before)

    def test_a_stop_with_the_will_leaves_it(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, ear: Callable[[Mosquitto], Ear], protocol: str
    ) -> None:
        listening = ear(mosquitto)
        one = peer(mosquitto, protocol=protocol, will_delay_s=1)
        one.connect()
        one.broker.stop(0x04)
        until(lambda: listening.payloads(one.topic) == [b"offline"], 60.0)

    def test_what_is_sent_to_it_is_bounded_and_its_own_description_comes_back(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, protocol: str
    ) -> None:
        """A description of 32 rules with long titles has more than 16 KiB; a command never needs them."""
        info, request = f"{prefix}/info", f"{prefix}/request/ping"
        one = peer(mosquitto, protocol=protocol, filters=[f"{prefix}/request/+"], large=[info])
        one.connect()
        sizes = [(request, 16 * 1024), (request, 16 * 1024 + 1), (info, 64 * 1024), (info, 64 * 1024 + 1), (request, 1)]
        for topic, size in sizes:
            one.say(Message(topic, b"x" * size, 1, False))
        last = Received(request, b"x", retained=False)
        until(lambda: last in one.poll(), 60.0)
        heard = [(n.topic, len(n.payload)) for n in one.notices if isinstance(n, Received)]
        assert heard == [(request, 16 * 1024), (info, 64 * 1024), (request, 1)]


class TestMqtt5:
    def test_events_say_what_they_are_and_when_they_are_stale(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, ear: Callable[[Mosquitto], Ear]
    ) -> None:
        listening = ear(mosquitto)
        one = peer(mosquitto)
        one.connect()
        one.say(event(prefix))
        one.say(event(prefix, expiry_s=None))
        one.say(Message(one.topic, b"online", 1, False))
        until(lambda: len(listening.messages) == 3)
        live, backlog, word = (message.properties for message in listening.messages)
        assert live is not None
        assert backlog is not None
        assert 0 < live.MessageExpiryInterval <= 300
        assert (live.ContentType, live.PayloadFormatIndicator) == ("application/json", 1)
        assert not hasattr(backlog, "MessageExpiryInterval")
        assert not hasattr(word, "ContentType")

    def test_a_restart_within_the_will_delay_is_not_seen_and_a_death_is(
        self, mosquitto: Mosquitto, peer: Make, prefix: str, ear: Callable[[Mosquitto], Ear]
    ) -> None:
        listening = ear(mosquitto)
        dying = Message(f"{prefix}/dying", b"offline", 1, True)
        back = peer(mosquitto, will_delay_s=WILL_DELAY_S)
        dead = peer(mosquitto, will_delay_s=WILL_DELAY_S, client_id=f"dead-{prefix}", will=dying)
        for one in (back, dead):
            one.connect()
        back.broker.stop(0x04)
        peer(mosquitto, will_delay_s=WILL_DELAY_S).connect()
        dead.broker.stop(0x04)  # dies later than the other: its will comes later, too
        until(lambda: listening.payloads(dying.topic) == [b"offline"], 60.0 + WILL_DELAY_S)
        assert listening.payloads(back.topic) == []

    def test_a_refusal_is_told_with_its_reason(
        self, own_mosquitto: Own, peer: Make, prefix: str, tmp_path: Path
    ) -> None:
        (tmp_path / "acl").write_text(f"topic readwrite {prefix}/state/#\n", encoding="utf-8")
        (tmp_path / "acl").chmod(0o600)
        broker = own_mosquitto(f"acl_file {tmp_path / 'acl'}")
        broker.start()
        one = peer(broker)
        one.connect()
        assert one.say(event(prefix)).refused == "Not authorized"
        assert one.say(Message(f"{prefix}/state/cat", b"{}", 1, True)).refused is None

    def test_the_window_is_what_the_broker_takes(self, own_mosquitto: Own, peer: Make) -> None:
        broker = own_mosquitto("max_inflight_messages 3")
        broker.start()
        assert peer(broker).connect() == Connected(window=3)

    def test_a_password_opens_the_door_also_when_it_is_corrected_meanwhile(
        self, own_mosquitto: Own, peer: Make, tmp_path: Path
    ) -> None:
        salt = os.urandom(12)
        digest = hashlib.pbkdf2_hmac("sha512", b"secret", salt, 101)
        words = [base64.b64encode(part).decode() for part in (salt, digest)]
        (tmp_path / "passwords").write_text(f"edged:$7$101${words[0]}${words[1]}\n", encoding="utf-8")
        (tmp_path / "passwords").chmod(0o600)
        broker = own_mosquitto("allow_anonymous false", f"password_file {tmp_path / 'passwords'}")
        broker.start()
        passwords: list[str] = ["guess"]

        def read() -> str:
            if not passwords:
                raise ConfigError("the password cannot be read")
            return passwords[0]

        one = peer(broker, username="edged", password=read)
        one.broker.start()
        refused = one.wait_for(Disconnected).text
        assert refused.startswith("the broker refuses the login (")
        assert "guess" not in refused
        passwords.clear()
        one.clock.advance(100.0)
        assert one.wait_for(Disconnected).text == "the password cannot be read"
        passwords.append("secret")
        one.clock.advance(100.0)
        assert one.wait_for(Connected) == Connected(window=8)


class TestTrouble:
    def test_a_port_without_a_broker_is_told_and_tried_again_ever_later(self, peer: Make) -> None:
        one = peer(("127.0.0.1", free_port()))
        one.broker.start()
        for n in range(9):
            assert one.wait_for(Disconnected).text == "the broker cannot be reached: Connection refused"
            retry_s = one.broker._retry_s
            assert retry_s is not None
            longest_s = min(2.0**n, 60.0)
            assert 0.2 * longest_s <= retry_s - one.clock.monotonic() <= longest_s
            one.clock.advance(longest_s)

    def test_it_waits_before_it_tries_again(self, peer: Make) -> None:
        one = peer(("127.0.0.1", free_port()))
        one.broker.start()
        one.wait_for(Disconnected)
        until(lambda: not network_threads())
        for _ in range(100):
            one.poll()
        assert len(one.notices) == 1
        assert one.broker.publish(Message("a", b"", 1, False)) is None

    def test_a_name_that_does_not_resolve_is_told(self, peer: Make) -> None:
        one = peer(("nonexistent.invalid", 1883))
        one.broker.start()
        text = one.wait_for(Disconnected, 120.0).text
        assert text.startswith("the broker cannot be reached: ")
        assert "nonexistent" not in text

    def test_a_name_that_dns_cannot_even_be_asked_for_is_told(self, peer: Make) -> None:
        """getaddrinfo raises a UnicodeError there, which would end paho's thread without a word."""
        one = peer(("a" * 64, 1883))
        one.broker.start()
        assert one.wait_for(Disconnected).text.startswith("the broker cannot be reached: ")

    def test_a_broker_that_is_killed_and_comes_back(self, own_mosquitto: Own, peer: Make, prefix: str) -> None:
        broker = own_mosquitto()
        broker.start()
        one = peer(broker)
        one.connect()
        broker.stop()
        assert one.wait_for(Disconnected).text.startswith("the connection to the broker ended")
        one.clock.advance(100.0)
        assert one.wait_for(Disconnected).text == "the broker cannot be reached: Connection refused"
        broker.start()
        one.clock.advance(100.0)
        one.wait_for(Connected)
        assert one.say(event(prefix)).refused is None

    def test_what_was_in_flight_is_not_sent_again_unasked(
        self, own_mosquitto: Own, peer: Make, prefix: str, ear: Callable[[Mosquitto], Ear]
    ) -> None:
        broker = own_mosquitto()
        broker.start()
        one = peer(broker)
        one.connect()
        broker.freeze()
        assert one.broker.publish(Message(f"{prefix}/stale", b"{}", 1, True)) is not None
        mine = network_threads()
        broker.stop()
        broker.start()
        one.wait_for(Disconnected)
        listening = ear(broker)
        until(lambda: not mine & network_threads())  # paho does not go on by itself
        one.clock.advance(100.0)
        one.wait_for(Connected)
        one.say(Message(f"{prefix}/fresh", b"{}", 1, True))
        until(lambda: listening.payloads(f"{prefix}/fresh") != [])
        assert listening.payloads(f"{prefix}/stale") == []

    def test_a_broker_that_hangs_is_noticed_and_never_blocks(self, own_mosquitto: Own, peer: Make, prefix: str) -> None:
        broker = own_mosquitto()
        broker.start()
        one = peer(broker, keepalive_s=1)
        one.connect()
        broker.freeze()
        for _ in range(8):
            one.broker.publish(event(prefix))
        assert one.wait_for(Disconnected).text.startswith("the connection to the broker ended")
        one.clock.advance(100.0)
        broker.thaw()
        one.wait_for(Connected, 120.0)

    def test_a_server_that_says_nothing_can_be_left(self, peer: Make) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            one = peer(("127.0.0.1", silent.getsockname()[1]))
            one.broker.start()
            connection, _ = silent.accept()
            with connection:
                until(lambda: connection.recv(1, socket.MSG_PEEK) != b"")
                one.broker.stop(0x04)
        assert one.poll() == []

    def test_a_server_that_speaks_no_mqtt_is_told_as_trouble(self, peer: Make) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            one = peer(("127.0.0.1", other.getsockname()[1]))
            one.broker.start()
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
                one.wait_for(Disconnected)

    def test_it_can_be_ended_before_it_was_begun_and_while_it_waits(self, peer: Make) -> None:
        peer(("127.0.0.1", free_port())).broker.stop(0)
        waiting = peer(("127.0.0.1", free_port()))
        waiting.broker.start()
        waiting.wait_for(Disconnected)
        waiting.broker.stop(0x04)
        waiting.clock.advance(1000.0)
        assert len(waiting.poll()) == 1

    def test_twenty_reconnections_leave_no_thread_behind(self, mosquitto: Mosquitto, peer: Make) -> None:
        before = threading.active_count()
        first, second = peer(mosquitto), peer(mosquitto)
        first.connect()
        second.connect()
        # Two of one name push each other out, as often as wanted.
        for _ in range(10):
            first.wait_for(Disconnected)
            first.clock.advance(100.0)
            first.wait_for(Connected)
            second.wait_for(Disconnected)
            second.clock.advance(100.0)
            second.wait_for(Connected)
        until(lambda: threading.active_count() <= before + 1)
        second.broker.stop(0)
        first.wait_for(Disconnected)
        until(lambda: threading.active_count() <= before)

    def test_an_exception_in_a_callback_does_not_end_the_network_thread(
        self, mosquitto: Mosquitto, prefix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        heard: list[Notice] = []

        def note(notice: Notice) -> None:
            heard.append(notice)
            if len(heard) <= 2:
                raise RuntimeError("a bug")

        client = mqtt_client.new_client(f"edged-{prefix}", v5=True)
        ended = threading.Event()
        mqtt_client.listen(client, note, ended, (), lambda _: None)
        client.connect(mosquitto.host, mosquitto.port)
        client.loop_start()
        try:
            until(lambda: len(heard) == 1)
            for count in (2, 3, 4):
                client.publish(f"{prefix}/a", b"", qos=1)
                until(lambda count=count: len(heard) == count)
        finally:
            client.disconnect()
            until(ended.is_set)
            client.loop_stop()
        assert isinstance(heard[0], Connected)
        assert [type(notice) for notice in heard[1:4]] == [Acknowledged] * 3
        failures = [record.getMessage() for record in caplog.records if record.name == "edged.mqtt"]
        assert [failure.partition(" ")[0] for failure in failures] == ["on_connect", "on_publish"]
