"""The loop with fakes at every port: from frames to events, whatever the world outside does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from edged import loop
from edged.core import wire
from edged.core.gate import EveryRegion
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.trigger import Decider
from edged.core.types import FULL, End, Frame, Look, Message, Region, Rule
from edged.duties.publisher import MqttPublisher
from edged.edges.identity import Numbering
from edged.edges.outbox_memory import MemoryOutbox
from edged.ports import ModelError, Publisher
from tests.fakes import (
    REGION,
    FakeClock,
    Heartbeats,
    RecordingBroker,
    RecordingPublisher,
    ScriptedCamera,
    ScriptedClassifier,
    fault,
    frame,
    lost,
    rule,
)

TIMEOUT_S = 0.25


class Story:
    """One run of the loop from its first look to its last word."""

    def __init__(
        self,
        script: Sequence[Look | Callable[[], Look]],
        rules: Sequence[Rule] = (rule(),),
        publisher: Publisher | None = None,
        regions: Sequence[Region] = (REGION,),
    ) -> None:
        self.clock = FakeClock()
        self.camera = ScriptedCamera(script)
        self.wanted = tuple(dict.fromkeys(what.label for what in rules))
        self.classifier = ScriptedClassifier(self.wanted)
        self.decider = Decider(rules, self.wanted)
        self.pipeline = Pipeline(0.0)
        self.outbox = MemoryOutbox(Numbering(self.clock, "log", "boot", "toy@00"), self.clock, max_rows=1000)
        self.recorded = RecordingPublisher()
        self.publisher = publisher or self.recorded
        self.heartbeats = Heartbeats(lambda: self.pipeline.state)
        self.stop = threading.Event()
        self.regions = regions

    def run(self) -> Story:
        loop.run(
            self.camera,
            EveryRegion(self.regions),
            self.classifier,
            self.decider,
            self.pipeline,
            self.outbox,
            self.publisher,
            self.heartbeats,
            self.stop,
            TIMEOUT_S,
        )
        return self

    @property
    def events(self) -> list[tuple[Any, ...]]:
        events = [event for turn, _ in self.recorded.turns for event in turn]
        return [(e.seq, e.event_type, e.t_s, e.reason) for e in events]

    @property
    def states(self) -> list[tuple[float, str, str]]:
        decisions = [decision for _, turn in self.recorded.turns for decision in turn]
        return [(decision.t_s, decision.rule.name, decision.state) for decision in decisions]


def test_from_frames_to_events() -> None:
    what = rule(delay_on_s=0.5, delay_off_s=1.0)
    levels = [0, 90, 90, 90, 50, 10, 10, 10, 0]
    story = Story([frame(1 + i / 2, level) for i, level in enumerate(levels)], [what]).run()
    assert story.events == [(1, "start", 2.0, None), (2, "end", 4.5, "gone")]
    # The clip ends, and what is true then is unknown: said with the reason, but no event.
    assert story.states == [(1.0, "cat", "OFF"), (2.0, "cat", "ON"), (4.5, "cat", "OFF"), (5.0, "cat", "unknown")]
    assert story.pipeline.state == "stopping"


def test_each_event_is_stored_before_anybody_is_told() -> None:
    class Careful(RecordingPublisher):
        def pump(self, events: Sequence[Any], decisions: Sequence[Any]) -> None:
            held.append(story.outbox.counts().rows)
            super().pump(events, decisions)

    held: list[int] = []
    story = Story([frame(1.0, 0), frame(2.0, 90), frame(3.0, 0)], publisher=Careful())
    story.run()
    assert held == [0, 1, 2, 2]


def test_a_lost_camera_ends_what_is_open_and_makes_states_unknown() -> None:
    rules = (rule("cat", score_threshold=0.8, release_threshold=0.7), rule("dog", score_threshold=1.0))
    script = [frame(1.0, 90), lost(2.0), lost(2.5), frame(4.0, 90), frame(5.0, 0)]
    story = Story(script, rules).run()
    assert story.events == [
        (1, "start", 1.0, None),
        (2, "end", 2.0, "camera_lost"),
        (3, "start", 4.0, None),
        (4, "end", 5.0, "gone"),
    ]
    assert story.states == [
        (1.0, "cat", "ON"),
        (1.0, "dog", "OFF"),
        (2.0, "cat", "unknown"),
        (2.0, "dog", "unknown"),
        (4.0, "cat", "ON"),
        (4.0, "dog", "OFF"),
        (5.0, "cat", "OFF"),
        (5.0, "cat", "unknown"),
        (5.0, "dog", "unknown"),
    ]
    assert story.heartbeats.beats == ["running", "camera_lost", "camera_lost", "running", "running"]


def test_a_frozen_picture_is_a_fault_and_no_absence() -> None:
    story = Story([frame(1.0, 90), fault(9.0), lost(10.0)]).run()
    assert story.events == [(1, "start", 1.0, None), (2, "end", 9.0, "camera_fault")]
    assert story.heartbeats.beats == ["running", "camera_fault", "camera_lost"]


def test_the_end_of_a_clip_ends_what_is_open() -> None:
    story = Story([frame(1.0, 90), frame(2.0, 90), End(2.0), frame(3.0, 90)]).run()
    assert story.events == [(1, "start", 1.0, None), (2, "end", 2.0, "shutdown")]
    assert story.classifier.frames == 2
    assert (story.camera.entered, story.camera.left) == (1, 1)


def test_a_stop_ends_what_is_open_and_looks_no_further() -> None:
    def stopped() -> Frame:
        story.stop.set()
        return frame(2.0, 90)

    story = Story([frame(1.0, 90), stopped, frame(3.0, 0)])
    story.run()
    assert story.events == [(1, "start", 1.0, None), (2, "end", 2.0, "shutdown")]
    assert story.pipeline.state == "stopping"
    assert story.camera.left == 1


def test_a_stop_before_the_first_look_looks_at_nothing() -> None:
    story = Story([frame(1.0, 90)])
    story.stop.set()
    story.run()
    assert story.classifier.frames == 0
    assert story.recorded.turns == [((), ())]


def test_the_heart_beats_with_and_without_a_picture() -> None:
    story = Story([None, None, frame(1.0, 0), None, lost(2.0), None]).run()
    assert len(story.heartbeats.beats) == len(story.recorded.turns) - 1 == 6
    assert set(story.camera.timeouts_s) == {TIMEOUT_S}
    assert story.heartbeats.beats == ["starting", "starting", "running", "running", "camera_lost", "camera_lost"]


def test_every_region_is_judged_by_its_own_rules() -> None:
    regions = (REGION, Region("door", FULL, "stretch"))
    rules = (rule("cat"), rule("door_cat", label="cat", region="door"))
    story = Story([frame(1.0, 90)], rules, regions=regions).run()
    assert story.classifier.frames == 2
    assert [name for _, name, state in story.states if state == "ON"] == ["cat", "door_cat"]


def test_a_model_that_fails_ends_the_loop_and_gives_the_camera_back() -> None:
    class Damaged(ScriptedClassifier):
        def scores(self, frame: Frame, region: Region) -> Any:
            if self.frames:
                raise ModelError("the model's output is not a number")
            return super().scores(frame, region)

    story = Story([frame(1.0, 0), frame(2.0, 0), frame(3.0, 0)])
    story.classifier = Damaged(story.wanted)
    with pytest.raises(ModelError, match="not a number"):
        story.run()
    assert story.camera.left == 1
    assert len(story.heartbeats.beats) == 1


class TestWithTheRealPublisher:
    def story(self, script: Sequence[Look | Callable[[], Look]], broker: RecordingBroker) -> Story:
        story = Story(script)
        topics = wire.Topics("edged", "porch")
        story.publisher = MqttPublisher(
            broker,
            story.outbox,
            story.clock,
            topics,
            [rule()],
            story.pipeline,
            Problems(),
            [Message(topics.info, b"{}", 1, True)],
            lambda: Message(topics.health, b"{}", 0, False),
            drain_per_s=1000.0,
            will_delay=True,
        )
        return story

    def test_a_broker_that_is_down_never_stops_frames(self) -> None:
        broker = RecordingBroker()
        story = self.story([frame(1000.0 + i, 90 * (i % 2)) for i in range(200)], broker).run()
        assert story.classifier.frames == 200
        assert len(story.heartbeats.beats) == 200
        assert broker.sent == []
        assert story.outbox.counts().rows == 200

    def test_a_broker_that_comes_and_goes_gets_every_event_once_it_is_back(self) -> None:
        broker = RecordingBroker()

        def then(action: Callable[[], None], look: Look) -> Callable[[], Look]:
            def act() -> Look:
                action()
                return look

            return act

        script: list[Any] = []
        for i in range(200):
            look: Any = frame(1000.0 + i, 90 * (i % 2))
            look = then(broker.up, look) if i % 40 == 10 else then(broker.down, look) if i % 40 == 30 else look
            script.append(look)
        story = self.story(script, broker).run()
        broker.up()
        for _ in range(100):
            story.publisher.pump((), ())
        assert story.outbox.counts().rows == 0
        delivered = [m.payload for m in broker.acknowledged if "/event/" in m.topic or "/backlog/" in m.topic]
        assert {json.loads(payload)["seq"] for payload in delivered} == set(range(1, 201))
