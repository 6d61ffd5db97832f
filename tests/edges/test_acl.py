"""The access list of `docs/brokers.md` in a real mosquitto: a device does all that it needs, and reaches no other."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edged.config import load
from edged.core import commands, homeassistant, wire
from edged.core.types import Message
from edged.edges.mqtt import PahoBroker
from edged.ports import Acknowledged, Connected, Received
from edged.watching import forget
from tests.fakes import FakeClock, until
from tests.mosquitto import Mosquitto

PAGE = Path(__file__).parents[2] / "docs" / "brokers.md"
LOGINS = ("porch", "garden", "homeassistant", "viewer")
DENIED = "Not authorized"
PORCH, GARDEN = wire.Topics("edged", "porch"), wire.Topics("edged", "garden")
BIRTH = "homeassistant/status"


def access_list() -> str:
    found = re.search(r"^```text\n([^`]*^pattern .*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def broker(own_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Mosquitto:
    """A broker with the page's list, where every login's password is its name."""
    lines = []
    for name in LOGINS:
        digest = hashlib.pbkdf2_hmac("sha512", name.encode(), b"twelve bytes", 101)
        words = [base64.b64encode(part).decode() for part in (b"twelve bytes", digest)]
        lines.append(f"{name}:$7$101${words[0]}${words[1]}\n")
    for file, text in (("passwords", "".join(lines)), ("acl", access_list())):
        (tmp_path / file).write_text(text, encoding="utf-8")
        (tmp_path / file).chmod(0o600)
    made = own_mosquitto(
        "allow_anonymous false", f"password_file {tmp_path / 'passwords'}", f"acl_file {tmp_path / 'acl'}"
    )
    made.start()
    return made


class Login:
    """Somebody at the broker, with the connection that the daemon has."""

    def __init__(self, broker: Mosquitto, name: str, *filters: str) -> None:
        self.received: list[Received] = []
        self._answers: dict[int, str | None] = {}
        self._good = False
        self._broker = PahoBroker(
            broker.host,
            broker.port,
            client_id=f"edged-{name}",
            protocol="5",
            keepalive_s=30,
            will=wire.availability(wire.Topics("edged", name), wire.OFFLINE),
            username=name,
            password=lambda: name,
            clock=FakeClock(),
            filters=filters,
        )
        self._broker.start()
        until(self._is_good)

    def _is_good(self) -> bool:
        self._poll()
        return self._good

    def _is_answered(self, mid: int) -> bool:
        self._poll()
        return mid in self._answers

    def _poll(self) -> None:
        while (notice := self._broker.poll()) is not None:
            if isinstance(notice, Acknowledged):
                self._answers[notice.mid] = notice.refused
            elif isinstance(notice, Received):
                self.received.append(notice)
            else:
                assert isinstance(notice, Connected), notice
                self._good = True

    def say(self, topic: str, payload: bytes = b"{}", *, retain: bool = False) -> str | None:
        """Publishes: why the broker refuses that, None where it does not."""
        mid = self._broker.publish(Message(topic, payload, 1, retain))
        assert mid is not None
        until(lambda: self._is_answered(mid))
        return self._answers[mid]

    def hears(self, topic: str) -> bool:
        """Whether something came on that topic."""
        self._poll()
        return any(message.topic == topic for message in self.received)

    def stop(self) -> None:
        self._broker.stop(0)


Enter = Callable[..., Login]


@pytest.fixture
def enter(broker: Mosquitto) -> Iterator[Enter]:
    """Logs somebody in."""
    logins: list[Login] = []

    def make(name: str, *filters: str) -> Login:
        logins.append(Login(broker, name, *filters))
        return logins[-1]

    yield make
    for login in logins:
        login.stop()


def of(topics: wire.Topics) -> list[str]:
    """Every topic that a device publishes on."""
    plain = [topics.availability, topics.pipeline, topics.info, topics.health, topics.enabled, topics.response("ping")]
    return [*plain, *(make("cat") for make in (topics.state, topics.event, topics.backlog, topics.threshold))]


def description(device: str) -> str:
    return homeassistant.removal(device, discovery_prefix="homeassistant").topic


def test_a_device_says_all_that_is_its_own_and_nothing_of_another(enter: Enter) -> None:
    porch = enter("porch")
    assert [topic for topic in (*of(PORCH), description("porch")) if porch.say(topic) is not None] == []
    others = (*of(GARDEN), description("garden"), BIRTH, GARDEN.request("restart"), GARDEN.enabled_set, "elsewhere")
    assert [topic for topic in others if porch.say(topic) != DENIED] == []


def test_a_device_hears_what_it_is_asked_and_nothing_of_another(enter: Enter) -> None:
    own = (*commands.filters(PORCH), PORCH.info, BIRTH)
    porch = enter("porch", *own, "edged/#", "homeassistant/#", "#")
    house, garden = enter("homeassistant"), enter("garden")
    for topics in (GARDEN, PORCH):
        for topic in (topics.request("ping"), topics.enabled_set, topics.threshold_set("cat")):
            assert house.say(topic) is None
    assert garden.say(GARDEN.event("cat")) is None
    assert garden.say(description("garden"), retain=True) is None
    assert house.say(BIRTH, b"online") is None  # the last one: what went before has been passed on or never will be
    until(lambda: porch.hears(BIRTH))
    heard = {message.topic for message in porch.received}
    assert heard == {PORCH.request("ping"), PORCH.enabled_set, PORCH.threshold_set("cat"), BIRTH}


def test_a_viewer_reads_every_device_and_says_nothing(enter: Enter) -> None:
    viewer, porch, garden = enter("viewer", "edged/#"), enter("porch"), enter("garden")
    for login, topics in ((porch, PORCH), (garden, GARDEN)):
        assert login.say(topics.event("cat")) is None
        until(lambda topics=topics: viewer.hears(topics.event("cat")))  # type: ignore[misc]
    for topic in (PORCH.event("cat"), PORCH.enabled_set, PORCH.request("restart"), description("porch")):
        assert viewer.say(topic) == DENIED


def test_home_assistant_cannot_speak_for_a_device(enter: Enter) -> None:
    house = enter("homeassistant")
    assert [topic for topic in of(PORCH) if house.say(topic) != DENIED] == []


def test_nobody_comes_in_without_a_login(broker: Mosquitto) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    codes: list[str] = []
    client.on_connect = lambda _client, _data, _flags, code, _properties: codes.append(str(code))
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        until(lambda: codes)  # type: ignore[arg-type,return-value]
    finally:
        client.disconnect()
        client.loop_stop()
    assert codes[0] == DENIED


def test_forget_needs_no_more_than_the_device_has(broker: Mosquitto, enter: Enter, tmp_path: Path) -> None:
    porch, garden = enter("porch"), enter("garden")
    for login, topics in ((porch, PORCH), (garden, GARDEN)):
        assert login.say(topics.availability, b"offline", retain=True) is None
        assert login.say(topics.state("cat"), retain=True) is None
        assert login.say(description(topics.root.removeprefix("edged/")), retain=True) is None
    (tmp_path / "password").write_text("porch", encoding="utf-8")
    (tmp_path / "edged.toml").write_text(
        '[device]\nname = "porch"\n[camera]\nsource = "file:clip.mp4"\n[[rule]]\nlabel = "cat"\n'
        f'[mqtt]\nhost = "{broker.host}"\nport = {broker.port}\nusername = "porch"\npassword_file = "password"\n',
        encoding="utf-8",
    )
    assert forget(load(tmp_path / "edged.toml"), lambda _: None) >= 2
    left = enter("homeassistant", "edged/#", "homeassistant/#")
    assert left.say(BIRTH, b"online") is None  # comes back behind what is retained
    until(lambda: left.hears(BIRTH))
    assert {message.topic for message in left.received} == {
        GARDEN.availability,
        GARDEN.state("cat"),
        description("garden"),
        BIRTH,
    }
