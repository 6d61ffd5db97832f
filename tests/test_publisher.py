"""What the device says and in which order, with a broker that does what the test wants."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core import wire
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.trigger import Trigger
from edged.core.types import Decision, Event, Message
from edged.duties.publisher import MqttPublisher
from edged.edges.identity import Numbering
from edged.edges.outbox_memory import MemoryOutbox
from tests.fakes import FakeClipClock, FakeClock, RecordingBroker, lost, rule

RULES = (rule("cat"), rule("dog"))
TOPICS = wire.Topics("edged", "porch")
INFO = Message(TOPICS.info, b'{"schema":1}', qos=1, retain=True)


@dataclass
class Device:
    """A publisher among real neighbours of the core and a broker with a switch."""

    will_delay: bool = True
    window: int = 8
    answering: bool = True
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.broker = RecordingBroker(self.window, answering=self.answering)
        self.outbox = MemoryOutbox(Numbering(self.clock, "log", "boot", "toy@00"), self.clock, max_rows=10_000)
        self.pipeline = Pipeline(self.clock.monotonic())
        self.problems = Problems()
        self.triggers = {what.name: Trigger(what) for what in RULES}
        self.publisher = MqttPublisher(
            self.broker,
            self.outbox,
            self.clock,
            TOPICS,
            RULES,
            self.pipeline,
            self.problems,
            [INFO],
            self._health,
            drain_per_s=1000.0,
            will_delay=self.will_delay,
        )

    def _health(self) -> Message:
        codes = ",".join(problem.code for problem in self.problems.all())
        return Message(TOPICS.health, json.dumps({"problems": codes}).encode(), qos=0, retain=False)

    def pump(self) -> None:
        self.publisher.pump((), ())

    def see(self, name: str, score: float) -> Sequence[Event]:
        """A turn of the loop in which a rule was judged."""
        decision = self.triggers[name].update(self.clock.monotonic(), score)
        return self.decide([decision] if decision else [])

    def decide(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        events = self.outbox.append(decisions)
        self.publisher.pump(events, decisions)
        return events

    def go_up(self) -> None:
        """Connects and is through with everything that comes first."""
        self.broker.up()
        for _ in range(20):
            self.pump()
            self.broker.acknowledge()
            self.clock.advance(0.001)
        self.pump()


def topics(messages: Sequence[Message]) -> list[str]:
    return [message.topic.removeprefix("edged/porch/") for message in messages]


def body(message: Message) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(message.payload)
    return decoded


def events(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if topics([message])[0].startswith(("event/", "backlog/"))]


class TestConnecting:
    def test_nothing_is_said_before_there_is_a_connection(self) -> None:
        device = Device()
        device.see("cat", 0.9)
        device.pump()
        assert device.broker.sent == []

    def test_retained_first_then_online_then_health_then_events(self) -> None:
        device = Device()
        device.see("cat", 0.9)
        device.go_up()
        assert topics(device.broker.sent) == [
            *("info", "state/cat", "state/dog", "pipeline"),
            "availability",
            "health",
            "event/cat",
        ]
        assert device.broker.sent[4].payload == b"online"

    def test_online_waits_until_every_retained_topic_is_acknowledged(self) -> None:
        device = Device(answering=False)
        device.see("cat", 0.9)
        device.broker.up()
        device.pump()
        assert topics(device.broker.sent) == ["info", "state/cat", "state/dog", "pipeline"]
        device.broker.acknowledge(3)
        device.pump()
        assert len(device.broker.sent) == 4
        device.broker.acknowledge()
        device.pump()
        assert topics(device.broker.sent[4:]) == ["availability"]
        device.pump()
        assert len(device.broker.sent) == 5  # and nothing follows until that is acknowledged, too
        device.broker.acknowledge()
        device.pump()
        assert topics(device.broker.sent[5:]) == ["health", "event/cat"]

    def test_a_state_that_changes_meanwhile_is_told_before_online(self) -> None:
        device = Device(answering=False)
        device.broker.up()
        device.pump()
        device.see("cat", 0.9)
        device.broker.acknowledge(4)
        device.pump()
        assert topics(device.broker.sent[4:]) == ["state/cat"]
        device.broker.acknowledge()
        device.pump()
        assert topics(device.broker.sent[5:]) == ["availability"]

    def test_states_begin_as_unknown(self) -> None:
        device = Device()
        device.go_up()
        states = [body(message) for message in device.broker.sent if "/state/" in message.topic]
        assert [(state["state"], state["seq"], state["id"]) for state in states] == [("unknown", None, None)] * 2

    def test_only_the_newest_value_of_a_retained_topic_is_sent(self) -> None:
        device = Device()
        for score in (0.9, 0.1, 0.9, 0.1):
            device.see("cat", score)
        device.pipeline.seeing(device.clock.monotonic())
        device.pipeline.blind(lost(device.clock.monotonic()))
        device.go_up()
        first = device.broker.sent[:4]
        assert topics(first) == ["info", "state/cat", "state/dog", "pipeline"]
        assert (body(first[1])["state"], body(first[1])["seq"]) == ("OFF", 4)
        assert body(first[3])["state"] == "camera_lost"

    def test_everything_is_said_again_on_the_next_connection(self) -> None:
        device = Device()
        device.go_up()
        device.broker.down()
        device.see("cat", 0.9)
        device.go_up()
        again = device.broker.connections[1]
        assert topics(again)[:4] == ["info", "state/cat", "state/dog", "pipeline"]
        assert topics(again)[4:] == ["availability", "health", "event/cat"]
        assert body(again[1])["state"] == "ON"

    @pytest.mark.parametrize("window", [1, 2, 3, 8])
    def test_no_more_is_in_flight_than_the_broker_takes(self, window: int) -> None:
        device = Device(window=window, answering=False)
        for score in (0.9, 0.1) * 10:
            device.see("cat", score)
        device.broker.up()
        for _ in range(60):
            device.pump()
            device.broker.acknowledge(1)
        device.pump()
        assert device.broker.most_waiting == window
        assert len(events(device.broker.acknowledged)) == 20

    @pytest.mark.parametrize("room", [0, 1, 2])
    def test_a_broker_that_takes_nothing_now_gets_it_later(self, room: int) -> None:
        device = Device()
        device.go_up()
        device.broker.room = room
        device.see("cat", 0.9)
        device.see("dog", 0.9)
        assert len(device.broker.sent) == 6 + room
        device.broker.room = math.inf
        device.pump()
        assert [body(message)["seq"] for message in events(device.broker.sent)] == [1, 2]
        device.pump()
        assert device.outbox.counts().rows == 0


class TestStates:
    def test_a_state_carries_the_event_of_its_change(self) -> None:
        device = Device()
        device.go_up()
        (start,) = device.see("cat", 0.9)
        state = next(m for m in reversed(device.broker.sent) if m.topic == TOPICS.state("cat"))
        found = body(state)
        assert (found["state"], found["score"], found["seq"], found["id"]) == ("ON", 0.9, start.seq, start.id)
        assert found["since"] == wire.iso(start.time.utc_s)

    def test_a_change_without_an_event_has_no_number(self) -> None:
        device = Device()
        device.go_up()
        device.see("dog", 0.1)
        found = body(device.broker.sent[-1])
        assert (found["state"], found["seq"], found["id"]) == ("OFF", None, None)

    def test_changes_with_and_without_an_event_in_one_turn_keep_apart(self) -> None:
        device = Device()
        device.go_up()
        now_s = device.clock.monotonic()
        decisions = [device.triggers["dog"].update(now_s, 0.1), device.triggers["cat"].update(now_s, 0.9)]
        (start,) = device.decide([decision for decision in decisions if decision])
        states = {m.topic: body(m) for m in device.broker.sent if "/state/" in m.topic}
        assert (states[TOPICS.state("dog")]["state"], states[TOPICS.state("dog")]["id"]) == ("OFF", None)
        assert (states[TOPICS.state("cat")]["state"], states[TOPICS.state("cat")]["id"]) == ("ON", start.id)

    def test_a_turn_without_news_says_nothing(self) -> None:
        device = Device()
        device.go_up()
        before = len(device.broker.sent)
        for _ in range(10):
            device.clock.advance(1.0)
            device.pump()
        assert len(device.broker.sent) == before


class TestEvents:
    def test_an_event_leaves_the_outbox_only_when_it_is_acknowledged(self) -> None:
        device = Device(answering=False)
        device.go_up()
        device.see("cat", 0.9)
        assert topics(device.broker.sent[-2:]) == ["state/cat", "event/cat"]
        assert device.outbox.counts().rows == 1
        device.broker.acknowledge()
        device.pump()
        assert device.outbox.counts().rows == 0

    def test_what_was_in_flight_is_sent_again_with_the_same_id(self) -> None:
        device = Device(answering=False)
        device.go_up()
        device.see("cat", 0.9)
        device.see("dog", 0.9)
        first = [body(message) for message in events(device.broker.sent)]
        device.broker.down()
        device.pump()
        device.go_up()
        again = [body(message) for message in events(device.broker.connections[1])]
        assert again == first
        assert [payload["seq"] for payload in again] == [1, 2]

    def test_an_acknowledgement_of_an_earlier_connection_means_nothing(self) -> None:
        device = Device(answering=False)
        device.go_up()
        device.see("cat", 0.9)
        old = list(device.broker.waiting)
        device.broker.down()
        device.go_up()
        device.see("dog", 0.9)
        rows = device.outbox.counts().rows
        device.broker.waiting = dict.fromkeys(old, INFO)
        device.broker.acknowledge()
        device.pump()
        assert device.outbox.counts().rows == rows

    @pytest.mark.parametrize(("age_s", "topic", "expiry_s"), [(29.9, "event/cat", 300), (30.1, "backlog/cat", None)])
    def test_an_event_is_live_for_thirty_seconds(self, age_s: float, topic: str, expiry_s: int | None) -> None:
        device = Device()
        device.see("cat", 0.9)
        device.clock.advance(age_s)
        device.go_up()
        (message,) = events(device.broker.sent)
        assert topics([message]) == [topic]
        assert message.expiry_s == expiry_s
        assert body(message)["replayed"] is (expiry_s is None)

    def test_what_happened_in_a_clip_has_no_age(self) -> None:
        device = Device(clock=FakeClipClock(50_000.0))
        device.go_up()
        decision = device.triggers["cat"].update(3.0, 0.9)  # the clip's own time
        assert decision is not None
        device.decide([decision])
        (message,) = events(device.broker.sent)
        assert topics([message]) == ["event/cat"]
        assert device.outbox.counts().oldest_s is None

    def test_a_refused_event_is_a_problem_and_blocks_nothing(self) -> None:
        device = Device()
        device.broker.refusals[TOPICS.event("cat")] = "Not authorized"
        device.go_up()
        device.see("cat", 0.9)
        device.pump()
        assert device.outbox.counts().rows == 0
        (problem,) = device.problems.all()
        assert problem.code == "event_refused"
        assert "Not authorized" in problem.text
        assert body(device.broker.sent[-1]) == {"problems": "event_refused"}
        device.see("dog", 0.9)
        device.pump()
        assert device.problems.all() == (problem,), "another topic says nothing about this one"
        device.broker.refusals.clear()
        device.see("cat", 0.0)
        device.pump()
        assert device.problems.all() == ()
        assert device.outbox.counts().rows == 0

    def test_a_refusal_for_now_is_tried_again_in_order(self) -> None:
        """Quota exceeded and the like: nothing is lost, nothing overtakes, and the broker has a pause."""
        device = Device()
        device.broker.refusals[TOPICS.event("cat")] = "Quota exceeded"
        device.broker.for_good = False
        device.go_up()
        device.see("cat", 0.9)
        device.pump()
        device.see("dog", 0.9)
        device.pump()
        assert device.outbox.counts().rows == 2
        (problem,) = device.problems.all()
        assert "Quota exceeded" in problem.text
        device.broker.refusals.clear()
        device.pump()
        assert device.outbox.counts().rows == 2, "not before the pause is over"
        device.clock.advance(5.0)
        device.pump()
        device.pump()
        assert device.outbox.counts().rows == 0
        assert [body(message)["seq"] for message in events(device.broker.acknowledged)] == [1, 2]
        assert device.problems.all() == ()

    def test_a_refused_retained_topic_does_not_keep_the_device_offline(self) -> None:
        device = Device()
        device.broker.refusals[INFO.topic] = "Packet too large"
        device.see("cat", 0.9)
        device.go_up()
        assert device.broker.sent[4].payload == b"online"
        assert len(events(device.broker.acknowledged)) == 1


class TestRefusedRetained:
    """A broker that takes a retained topic not now: it gets it later, and nobody sees a stale state come alive."""

    def device(self, topic: str) -> Device:
        device = Device()
        device.broker.refusals[topic] = "Quota exceeded"
        device.broker.for_good = False
        return device

    def test_it_is_sent_again_after_a_pause_and_online_waits_for_it(self) -> None:
        device = self.device(TOPICS.state("cat"))
        device.go_up()
        assert [problem.code for problem in device.problems.all()] == ["event_refused"]
        before = len(device.broker.sent)
        device.broker.refusals.clear()
        device.see("dog", 0.9)
        assert topics(device.broker.sent[before:]) == ["state/dog"], "not before the pause is over"
        device.clock.advance(5.0)
        for _ in range(5):
            device.pump()
        assert topics(device.broker.sent[before + 1 :]) == ["state/cat", "availability", "health", "event/dog"]
        assert device.problems.all() == ()

    def test_of_a_topic_that_waits_the_newest_value_is_sent(self) -> None:
        device = Device()
        device.go_up()
        device.broker.refusals[TOPICS.state("cat")] = "Quota exceeded"
        device.broker.for_good = False
        device.see("cat", 0.9)
        device.pump()
        device.see("cat", 0.0)
        device.pump()
        device.broker.refusals.clear()
        device.clock.advance(5.0)
        device.pump()
        states = [body(m)["state"] for m in device.broker.acknowledged if m.topic == TOPICS.state("cat")]
        assert states == ["unknown", "OFF"]

    def test_online_itself_is_sent_again(self) -> None:
        device = self.device(TOPICS.availability)
        device.go_up()
        assert "health" not in topics(device.broker.sent)
        device.broker.refusals.clear()
        device.clock.advance(5.0)
        for _ in range(5):
            device.pump()
        assert topics(device.broker.sent[-2:]) == ["availability", "health"]

    def test_a_new_connection_does_not_wait(self) -> None:
        device = self.device(TOPICS.state("cat"))
        device.go_up()
        device.broker.refusals.clear()
        device.broker.down()
        device.go_up()
        assert "availability" in topics(device.broker.connections[1])


class TestHealth:
    def count(self, device: Device) -> int:
        return topics(device.broker.sent).count("health")

    def test_each_minute(self) -> None:
        device = Device()
        device.go_up()
        assert self.count(device) == 1
        for _ in range(4 * 120 + 1):
            device.pump()
            device.clock.advance(0.25)
        assert self.count(device) == 3

    def test_at_once_when_the_problems_change_and_then_a_minute_later(self) -> None:
        device = Device()
        device.go_up()
        device.clock.advance(50.0)
        device.pump()
        device.problems.set("camera_lost", "unplugged", device.clock.monotonic())
        device.pump()
        device.pump()
        assert self.count(device) == 2
        assert body(device.broker.sent[-1]) == {"problems": "camera_lost"}
        device.clock.advance(59.0)
        device.pump()
        assert self.count(device) == 2
        device.clock.advance(1.0)
        device.pump()
        assert self.count(device) == 3

    def test_a_blind_pipeline_is_a_problem_until_it_sees(self) -> None:
        device = Device()
        device.go_up()
        device.pipeline.blind(lost(device.clock.monotonic(), "unplugged"))
        device.pump()
        assert [(problem.code, problem.text) for problem in device.problems.all()] == [("camera_lost", "unplugged")]
        assert topics(device.broker.sent[-2:]) == ["pipeline", "health"]
        device.pipeline.seeing(device.clock.monotonic())
        device.pump()
        assert device.problems.all() == ()

    def test_a_lost_broker_is_a_problem_with_its_sentence(self, caplog: pytest.LogCaptureFixture) -> None:
        device = Device()
        with caplog.at_level("INFO", "edged.publisher"):
            device.broker.up()
            device.pump()
            device.broker.down("the connection to the broker ended: Keep alive timeout")
            device.pump()
            assert [(problem.code, problem.text) for problem in device.problems.all()] == [
                ("broker_lost", "the connection to the broker ended: Keep alive timeout")
            ]
            device.go_up()
        assert device.problems.all() == ()
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]

    def test_the_same_trouble_again_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        device = Device()
        with caplog.at_level("INFO", "edged.publisher"):
            for _ in range(5):
                device.broker.is_up = True
                device.broker.down("the broker cannot be reached: Connection refused")
                device.pump()
        assert len(caplog.records) == 1


class TestClose:
    def test_with_a_will_delay_it_leaves_offline_to_the_broker(self) -> None:
        device = Device()
        device.go_up()
        device.publisher.close(5.0)
        assert device.broker.stopped == 0x04
        assert [m.payload for m in device.broker.sent if m.topic == TOPICS.availability] == [b"online"]
        assert device.clock.slept_s == 0.0

    def test_without_one_it_says_offline_itself(self) -> None:
        device = Device(will_delay=False)
        device.go_up()
        device.publisher.close(5.0)
        assert device.broker.stopped == 0
        assert device.broker.acknowledged[-1].payload == b"offline"

    def test_a_broker_that_does_not_take_offline_publishes_the_will_instead(self) -> None:
        device = Device(will_delay=False)
        device.go_up()
        device.broker.answering = False
        device.publisher.close(5.0)
        assert device.broker.stopped == 0x04

    @pytest.mark.parametrize("acknowledged", [0, 1, 3, 4, 5])
    def test_offline_is_the_last_word_however_far_the_connection_has_come(self, acknowledged: int) -> None:
        device = Device(will_delay=False, answering=False)
        device.broker.up()
        device.pump()
        for _ in range(acknowledged):
            device.broker.acknowledge(1)
            device.pump()
        device.broker.answering = True
        device.broker.acknowledge()
        device.publisher.close(5.0)
        words = [message.payload for message in device.broker.sent if message.topic == TOPICS.availability]
        assert words[-1] == b"offline"

    def test_it_waits_for_what_is_still_to_be_said_and_no_longer(self) -> None:
        device = Device(answering=False)
        device.go_up()
        device.see("cat", 0.9)
        begun_s = device.clock.monotonic()
        device.clock.at(begun_s + 1.0, device.broker.acknowledge)
        device.publisher.close(5.0)
        assert device.outbox.counts().rows == 0
        assert 1.0 <= device.clock.monotonic() - begun_s < 1.1
        assert device.broker.stopped == 0x04

    def test_a_silent_broker_is_left_after_the_drain(self) -> None:
        device = Device(answering=False)
        device.go_up()
        device.see("cat", 0.9)
        begun_s = device.clock.monotonic()
        device.publisher.close(5.0)
        assert device.clock.monotonic() - begun_s == pytest.approx(5.0, abs=0.02)
        assert device.outbox.counts().rows == 1
        assert device.broker.stopped == 0x04

    def test_without_a_connection_and_without_events_it_ends_at_once(self) -> None:
        device = Device()
        device.publisher.close(5.0)
        assert device.clock.slept_s == 0.0
        assert device.broker.stopped == 0x04

    def test_without_a_connection_events_are_worth_waiting_for(self) -> None:
        device = Device()
        device.see("cat", 0.9)
        device.clock.at(device.clock.monotonic() + 2.0, device.broker.up)
        device.publisher.close(5.0)
        assert len(events(device.broker.acknowledged)) == 1
        assert 2.0 <= device.clock.slept_s < 2.2


Step = tuple[str, Any]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("see"), st.tuples(st.sampled_from(["cat", "dog"]), st.sampled_from([0.0, 0.5, 0.9]))),
        st.tuples(st.just("blind"), st.sampled_from(["cat", "dog"])),
        st.tuples(st.just("pump"), st.none()),
        st.tuples(st.just("pass"), st.sampled_from([0.25, 10.0, 40.0])),
        st.tuples(st.just("acknowledge"), st.integers(1, 10)),
        st.tuples(st.just("up"), st.integers(1, 8)),
        st.tuples(st.just("down"), st.none()),
        st.tuples(st.just("room"), st.sampled_from([0, 1, 2, 3, math.inf])),
    ),
    max_size=60,
)


def play(device: Device, script: Sequence[Step]) -> list[Event]:
    """Whatever the network does; gives all events that were decided."""
    decided: list[Event] = []
    for what, how in script:
        if what == "see":
            decided += device.see(*how)
        elif what == "blind":
            decision = device.triggers[how].blind(device.clock.monotonic(), "camera_lost")
            decided += device.decide([decision] if decision else [])
        elif what == "pump":
            device.pump()
        elif what == "pass":
            device.clock.advance(how)
        elif what == "acknowledge":
            device.broker.acknowledge(how)
        elif what == "up" and not device.broker.is_up:
            device.broker.up(window=how)
        elif what == "down" and device.broker.is_up:
            device.broker.down()
        elif what == "room":
            device.broker.room = how
    return decided


def settle(device: Device) -> None:
    """At last the network behaves."""
    device.broker.room = math.inf
    device.broker.answering = True
    if not device.broker.is_up:
        device.broker.up()
    device.broker.acknowledge()
    for _ in range(200):
        device.pump()
        device.clock.advance(0.01)


@given(steps)
def test_no_event_is_ever_lost_and_a_repeat_has_the_same_id(script: list[Step]) -> None:
    device = Device(answering=False)
    decided = play(device, script)
    settle(device)
    assert device.outbox.counts().rows == 0
    delivered = [body(message) for message in events(device.broker.acknowledged)]
    assert {payload["id"] for payload in delivered} == {event.id for event in decided}
    sent = [body(message) for message in events(device.broker.sent)]
    assert {(payload["seq"], payload["id"]) for payload in sent} == {(event.seq, event.id) for event in decided}


@given(steps)
def test_events_come_in_the_order_of_their_numbers(script: list[Step]) -> None:
    device = Device(answering=False)
    play(device, script)
    settle(device)
    for connection in device.broker.connections:
        for kind in ("event/", "backlog/"):
            seqs = [body(m)["seq"] for m in connection if topics([m])[0].startswith(kind)]
            assert seqs == sorted(set(seqs))
    for kind in ("event/", "backlog/"):
        first = dict.fromkeys(body(m)["seq"] for m in device.broker.sent if topics([m])[0].startswith(kind))
        assert list(first) == sorted(first)


@given(steps)
def test_on_every_connection_nobody_sees_a_stale_state_come_alive(script: list[Step]) -> None:
    device = Device(answering=False)
    play(device, script)
    settle(device)
    for connection in device.broker.connections:
        names = topics(connection)
        alive = names.index("availability") if "availability" in names else len(names)
        assert names.count("availability") <= 1
        assert all(message.retain for message in connection[:alive])
        if alive < len(names):
            assert {"info", "pipeline", "state/cat", "state/dog"} <= set(names[:alive])
    last = {message.topic: message for message in device.broker.acknowledged if message.retain}
    assert last[TOPICS.availability].payload == b"online"
    for name, trigger in device.triggers.items():
        assert body(last[TOPICS.state(name)])["state"] == trigger.state
    assert device.broker.most_waiting <= 8
