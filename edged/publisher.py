"""Everything that the device says, in the order in which it may be said.

Law: on each connection the retained topics go first, `online` when the broker acknowledged them all, and only then
health and events: nobody sees a stale state come alive. Of a retained topic only the newest value is ever sent; an
event leaves the outbox only when the broker acknowledged it. Nothing here blocks, knows paho, or makes a payload.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum

from edged.core import wire
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.types import Decision, Event, Message, Rule
from edged.ports import Acknowledged, Broker, Clock, Connected, Notice, Outbox

HEALTH_PERIOD_S = 60.0
STOP_REASON_WITH_WILL = 0x04

log = logging.getLogger("edged.publisher")


class Link(Enum):
    """How far a connection has come."""

    DOWN = "down"
    RETAINED = "retained topics are on their way"
    ONLINE = "online is on its way"
    UP = "up"


class MqttPublisher:
    """Speaks for one device through a broker.

    Args:
        rules: their states start as unknown.
        info: the retained description of the device.
        health: makes the health message of now.
        will_delay: whether the broker waits before it publishes the will (MQTT 5). If not, a clean stop says
            `offline` itself.
    """

    def __init__(
        self,
        broker: Broker,
        outbox: Outbox,
        clock: Clock,
        topics: wire.Topics,
        rules: Sequence[Rule],
        pipeline: Pipeline,
        problems: Problems,
        info: Message,
        health: Callable[[], Message],
        *,
        will_delay: bool,
    ) -> None:
        self._broker, self._outbox, self._clock, self._topics = broker, outbox, clock, topics
        self._pipeline, self._problems, self._health = pipeline, problems, health
        self._will_delay = will_delay
        self._link = Link.DOWN
        self._word = wire.ONLINE  # what follows the retained topics on a connection
        self._window = 1
        self._flying: dict[int, tuple[str, Event | None]] = {}  # topic and event by message id; None: retained
        self._refused: dict[str, str] = {}  # why, by topic, until a message is taken there
        self._dropped, self._dropped_told = 0, False
        self._retained: dict[str, Message] = {info.topic: info}
        self._unsent: dict[str, None] = {}  # topics whose newest value is not sent yet, in order
        self._pipeline_version = self._problems_version = 0
        self._health_at_s = float("inf")
        started_s = clock.monotonic()
        for rule in rules:
            label = clock.label(started_s)
            self._retain(wire.state(topics, rule.name, "unknown", None, label, None, None))
        self._retain_pipeline()

    def start(self) -> None:
        """Begins to connect."""
        self._broker.start()

    def pump(self, events: Sequence[Event], decisions: Sequence[Decision]) -> None:
        """One turn: takes what is new, answers what came, sends what may be sent. Never blocks.

        Args:
            events: what the outbox made of this turn's decisions.
            decisions: this turn's decisions, with and without an event.
        """
        if decisions:
            self._retain_states(events, decisions)
        if events:
            self._watch_outbox()
        if self._pipeline.version != self._pipeline_version:
            self._retain_pipeline()
        while (notice := self._broker.poll()) is not None:
            self._answer(notice)
        if self._link is not Link.DOWN:
            self._send()

    def close(self, drain_s: float) -> None:
        """Says what remains to be said for at most `drain_s` and disconnects.

        With a will delay the broker says `offline` if nobody is back in time, so that a restart is not seen; without
        one the daemon says it itself.
        """
        stop_s = self._clock.monotonic() + drain_s
        if not self._will_delay:
            self._word = wire.OFFLINE
            if self._link in (Link.ONLINE, Link.UP):
                self._retain(wire.availability(self._topics, self._word))
        while self._clock.monotonic() < stop_s:
            self.pump((), ())
            # Without a connection only events are worth waiting for: the will tells the rest.
            said = self._link is Link.DOWN or (self._link is Link.UP and not self._flying and not self._unsent)
            if said and not self._outbox.counts().rows:
                break
            self._clock.sleep(0.01)
        self._broker.stop(STOP_REASON_WITH_WILL if self._will_delay else 0)

    def _retain(self, message: Message) -> None:
        self._retained[message.topic] = message
        self._unsent[message.topic] = None

    def _retain_pipeline(self) -> None:
        pipeline = self._pipeline
        self._pipeline_version = pipeline.version
        for code in ("camera_lost", "camera_fault"):
            self._problems.set(code, pipeline.reason if pipeline.state == code else None, pipeline.since_s)
        since = self._clock.label(pipeline.since_s)
        self._retain(wire.pipeline(self._topics, pipeline.state, pipeline.reason, since))

    def _retain_states(self, events: Sequence[Event], decisions: Sequence[Decision]) -> None:
        remaining = iter(events)
        for decision in decisions:
            event = next(remaining) if decision.event_type is not None else None
            since = event.time if event else self._clock.label(decision.t_s)
            seq, id_ = (event.seq, event.id) if event else (None, None)
            name = decision.rule.name
            self._retain(wire.state(self._topics, name, decision.state, decision.score, since, seq, id_))

    def _answer(self, notice: Notice) -> None:
        if isinstance(notice, Acknowledged):
            self._acknowledged(notice)
        elif isinstance(notice, Connected):
            self._link, self._window = Link.RETAINED, notice.window
            self._flying.clear()
            self._unsent = dict.fromkeys(topic for topic in self._retained if topic != self._topics.availability)
            if self._problems.set("broker_lost", None, self._clock.monotonic()):
                log.info("connected to the broker")
        else:
            self._link = Link.DOWN
            self._flying.clear()
            self._outbox.release()
            if self._problems.set("broker_lost", notice.text, self._clock.monotonic()):
                log.warning("%s; events are kept, trying again for ever", notice.text)

    def _acknowledged(self, notice: Acknowledged) -> None:
        if notice.mid not in self._flying:
            return
        topic, event = self._flying.pop(notice.mid)
        self._watch_refusals(topic, notice.refused)
        if event is not None:
            # A refusal is final here: sent again and again it would only keep the events behind it waiting.
            self._outbox.acknowledge(event.seq)
        if self._dropped_told and not self._outbox.counts().rows:
            self._dropped_told = False
            self._problems.set("outbox_full", None, self._clock.monotonic())

    def _watch_refusals(self, topic: str, refused: str | None) -> None:
        if refused is not None:
            self._refused[topic] = refused
        elif self._refused.pop(topic, None) is None:
            return
        text = None
        if self._refused:
            reason = next(iter(self._refused.values()))
            text = f"the broker refuses messages of this device: {reason}; check what it may publish there"
        if self._problems.set("event_refused", text, self._clock.monotonic()) and text:
            log.warning("%s", text)

    def _watch_outbox(self) -> None:
        dropped = self._outbox.counts().dropped
        if dropped == self._dropped:
            return
        self._dropped, self._dropped_told = dropped, True
        text = "the broker is away for so long that the oldest events are dropped; `outbox.dropped` counts them"
        if self._problems.set("outbox_full", text, self._clock.monotonic()):
            log.warning("%s", text)

    def _send(self) -> None:
        if self._link is Link.RETAINED and not self._unsent and not self._flying:
            self._link = Link.ONLINE
            self._retain(wire.availability(self._topics, self._word))
        while len(self._flying) < self._window and self._unsent:
            topic = next(iter(self._unsent))
            mid = self._broker.publish(self._retained[topic])
            if mid is None:
                return
            del self._unsent[topic]
            self._flying[mid] = (topic, None)
        if self._link is Link.ONLINE and not self._unsent and not self._flying:
            self._link, self._health_at_s = Link.UP, float("-inf")
        if self._link is Link.UP:
            self._send_health()
            self._send_events()

    def _send_health(self) -> None:
        now_s = self._clock.monotonic()
        if now_s >= self._health_at_s or self._problems.version != self._problems_version:
            self._problems_version = self._problems.version
            self._health_at_s = now_s + HEALTH_PERIOD_S
            self._broker.publish(self._health())

    def _send_events(self) -> None:
        while len(self._flying) < self._window:
            event = self._outbox.next()
            if event is None:
                return
            age_ms = self._clock.age_ms(event.decision.t_s)
            # What happened in a clip has no age.
            message = wire.event(self._topics, event, (age_ms or 0) / 1000)
            mid = self._broker.publish(message)
            if mid is None:
                self._outbox.release(event.seq)
                return
            self._flying[mid] = (message.topic, event)
