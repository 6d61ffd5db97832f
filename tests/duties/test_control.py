"""Commands carried out and settings applied, with everything real but the broker and the clock."""

from __future__ import annotations

import json
import random
from typing import Any

from edged.core import commands, wire
from edged.core.commands import Install, Refusal, UseModel
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.ratelimit import Inbox
from edged.core.settings import Settings
from edged.core.trigger import Decider
from edged.core.types import Message
from edged.duties.control import Control
from edged.duties.publisher import MqttPublisher
from edged.edges.identity import Numbering
from edged.edges.outbox_memory import MemoryOutbox
from edged.ports import Received
from tests.fakes import FakeClock, RecordingBroker, rule
from tests.flood import payload, setting, topic
from tests.outboxes import end, start

TOPICS = wire.Topics("edged", "porch")
RULES = (rule("cat"), rule("circle"))


class Device:
    def __init__(self, *, connected: bool = True) -> None:
        self.clock, self.broker, self.problems = FakeClock(), RecordingBroker(), Problems()
        self.pipeline = Pipeline(self.clock.monotonic())
        self.outbox = MemoryOutbox(Numbering(self.clock, "log", "boot", "toy@00"), self.clock, max_rows=100)
        health = Message(TOPICS.health, b"{}", 0, retain=False)
        self.publisher = MqttPublisher(
            self.broker, self.outbox, self.clock, TOPICS, RULES, self.pipeline, self.problems, [], lambda: health,
            drain_per_s=1000.0, will_delay=True,
        )  # fmt: skip
        self.kept: list[Any] = []
        self.restarts = 0
        self.changes: list[UseModel | Install] = []
        self.control = Control(
            self.clock, TOPICS, Settings(RULES), Decider(RULES, ("cat", "circle")), self.pipeline, self.outbox,
            self.publisher, Inbox(TOPICS, ("cat", "circle")),
            describe=lambda: Message(TOPICS.info, b"{}", 1, retain=True), keep=self.kept.append,
            restart=self._restart, change_model=self._change_model,
        )  # fmt: skip
        self.publisher.on_received = self.control.received
        self.control.start()
        if connected:
            self.broker.up()
            self.turn(20)
        self.broker.sent.clear()

    def _change_model(self, what: UseModel | Install) -> Refusal | None:
        self.changes.append(what)
        return None if len(self.changes) == 1 else commands.refused(what, "one is enough")

    def _restart(self) -> None:
        self.restarts += 1

    def turn(self, times: int = 3, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        for _ in range(times):
            self.publisher.pump((), ())
            self.control.turn()

    def ask(self, command: str, body: bytes = b"{}") -> list[dict[str, Any]]:
        """The answers to one request."""
        before = len(self.broker.sent)
        self.broker.receive(TOPICS.request(command), body)
        self.turn(4)
        answers = [one for one in self.broker.sent[before:] if "/response/" in one.topic]
        return [json.loads(one.payload) for one in answers]

    def said(self, topic: str) -> list[bytes]:
        return [one.payload for one in self.broker.sent if one.topic == topic]


def test_a_ping_is_answered_once() -> None:
    assert Device().ask("ping", b'{"transaction": 3}') == [
        {"status": "ok", "data": None, "error": None, "transaction": 3}
    ]


def test_a_replay_says_what_comes() -> None:
    device = Device()
    device.outbox.append([start(), end()])
    device.turn(5)
    [answer] = device.ask("replay", b'{"from_seq": 1}')
    assert answer["status"] == "ok"
    assert set(answer["data"]) == {"first_seq", "last_seq", "count"}
    assert device.ask("replay", b'{"from_seq": 9}')[0]["data"] == {"first_seq": None, "last_seq": None, "count": 0}


def test_a_restart_is_begun_once_and_answered() -> None:
    device = Device()
    assert device.ask("restart")[0]["status"] == "ok"
    device.turn(10, 100.0)
    assert device.restarts == 1


def test_a_pause_ends_by_its_time_or_when_it_is_told_to() -> None:
    device = Device()
    device.ask("pause", b'{"seconds": 30}')
    assert device.control.paused() == "requested"
    device.turn(seconds=29.9)
    assert device.control.paused() == "requested"
    device.turn(seconds=0.2)
    assert device.control.paused() is None
    device.ask("pause", b'{"seconds": 30}')
    device.ask("resume")
    assert device.control.paused() is None


def test_the_end_of_a_pause_does_not_switch_detection_on() -> None:
    device = Device()
    device.broker.receive(TOPICS.enabled_set, b"OFF")
    device.turn()
    device.ask("pause", b'{"seconds": 1}')
    device.pipeline.change("paused", "disabled", device.clock.monotonic())
    device.turn(seconds=5.0)
    assert (device.control.paused(), device.pipeline.state) == ("disabled", "paused")
    device.broker.receive(TOPICS.enabled_set, b"ON")
    device.turn(seconds=5.0)
    assert (device.control.paused(), device.pipeline.state) == (None, "starting")


def test_a_setting_is_kept_told_and_described_and_only_when_it_changes() -> None:
    device = Device()
    for value in (b"0.8", b"0.8"):
        device.broker.receive(TOPICS.threshold_set("cat").replace("+", "cat"), value)
        device.turn(5, 2.0)
    assert device.control.settings.rule("cat").score_threshold == 0.8
    assert [one["threshold"]["cat"]["value"] for one in device.kept] == [0.8]
    assert device.said(TOPICS.info) == [b"{}"]
    assert {float(one) for one in device.said(TOPICS.threshold("cat"))} == {0.8}


def test_a_refused_setting_is_answered_and_what_holds_is_said_again() -> None:
    device = Device()
    device.broker.receive(TOPICS.enabled_set, b"maybe")
    device.broker.receive(TOPICS.threshold_set("cat"), b"2")
    device.turn(5, 2.0)
    assert device.said(TOPICS.enabled) == [b"ON"]
    assert [float(one) for one in device.said(TOPICS.threshold("cat"))] == [0.6]
    assert [json.loads(one)["status"] for one in device.said(TOPICS.response("threshold"))] == ["error"]
    assert not device.kept


def test_whatever_comes_in_within_the_limit_is_answered_once() -> None:
    """A thousand generated messages at seven seconds' distance: each request has one answer, no setting changes."""
    device, chance, asked = Device(), random.Random(1), 0
    for _ in range(1000):
        where = topic(chance, TOPICS.root)
        body = setting(chance) if where.endswith("/set") else payload(chance)
        before = len(device.broker.sent)
        # The broker's limit keeps what is larger away.
        device.broker.receive(where, body[:16_000])
        device.turn(4, 7.0)
        answers = [one for one in device.broker.sent[before:] if "/response/" in one.topic]
        is_request = where.startswith(TOPICS.request("")) and "/" not in where.removeprefix(TOPICS.request(""))
        asked += is_request
        if is_request:
            assert len(answers) == 1, (where, body[:80])
        assert all(json.loads(one.payload)["status"] == "error" for one in answers if is_request)
        assert all(len(one.payload) <= 4096 for one in answers)
    assert asked > 300
    assert device.restarts == 0
    assert device.control.paused() is None


def test_a_retained_message_is_no_request() -> None:
    device = Device()
    device.control.received(Received(TOPICS.request("restart"), b"{}", retained=True))
    device.control.received(Received(TOPICS.enabled_set, b"OFF", retained=True))
    device.turn(5, 2.0)
    assert (device.restarts, device.control.paused()) == (0, None)


def test_a_wish_for_another_model_is_answered_by_whoever_deals_with_it() -> None:
    device = Device()
    assert device.ask("model", b'{"name": "toy", "version": "2"}') == []
    assert device.ask("model", b'{"name": "toy", "transaction": 1}')[0]["error"] == "one is enough"
    device.broker.receive(TOPICS.update_set, b"install")
    device.turn(3, 2.0)
    assert device.changes == [UseModel("toy", "2"), UseModel("toy", None, 1), Install()]
    answers = [json.loads(body) for body in device.said(TOPICS.response("update"))]
    assert [answer["error"] for answer in answers] == ["one is enough"]
    device.broker.receive(TOPICS.update_set, b"INSTALL")
    device.turn(3, 2.0)
    assert len(device.changes) == 3
    assert "expected the word install" in device.said(TOPICS.response("update"))[-1].decode()
