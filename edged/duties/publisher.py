"""Everything that the device says, in the order in which it may be said.

Law: on each connection the retained topics go first, `online` when the broker acknowledged them all, and only then
health, answers and events: nobody sees a stale state come alive. Of a retained topic only the newest value is ever
sent; an event leaves the outbox only when the broker answered it; live events go first and the backlog follows at its
own pace. Nothing here blocks, knows paho, or makes a payload.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from edged.core import wire
from edged.core.drain import Drain
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.types import Decision, Event, Message, Rule
from edged.ports import Acknowledged, Broker, Clock, Connected, Disconnected, Notice, Outbox, Received

HEALTH_PERIOD_S = 60.0
ANSWER_TIMEOUT_S = 15.0
REFUSED_PAUSE_S = 5.0
STOP_REASON_WITH_WILL = 0x04
MAX_ANSWERS = 32
RESERVED = 2
"""Places of the window that the backlog leaves to live events."""

log = logging.getLogger("edged.publisher")


class Link(Enum):
    """How far a connection has come."""

    DOWN = "down"
    RETAINED = "retained topics are on their way"
    ONLINE = "online is on its way"
    UP = "up"


@dataclass(frozen=True, slots=True)
class _Flight:
    """A message that the broker has not answered yet. `event`: None for what is no event."""

    topic: str
    sent_s: float
    event: Event | None
    late: bool


class MqttPublisher:
    """Speaks for one device through a broker.

    Args:
        rules: their states start as unknown.
        retained: what else lies retained from the start: the description of the device, its discovery.
        health: makes the health message of now.
        drain_per_s: how many late events follow a second.
        will_delay: whether the broker waits before it publishes the will (MQTT 5). If not, a clean stop says
            `offline` itself.

    Attributes:
        on_received: gets every message on a topic that the broker subscribes to.
        on_lost: gets every end of a connection; True for a name that is in use.
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
        retained: Iterable[Message],
        health: Callable[[], Message],
        *,
        drain_per_s: float,
        will_delay: bool,
    ) -> None:
        self.on_received: Callable[[Received], None] = lambda _: None
        self.on_lost: Callable[[Disconnected], None] = lambda _: None
        self._broker, self._outbox, self._clock, self._topics = broker, outbox, clock, topics
        self._pipeline, self._problems, self._health = pipeline, problems, health
        self._will_delay = will_delay
        self._word = wire.ONLINE
        self._link = Link.DOWN
        self._window = 1
        self._drain = Drain(drain_per_s)
        self._flying: dict[int, _Flight] = {}
        self._refused: dict[str, str] = {}  # why, by topic, until a message is taken there
        self._paused_until_s = float("-inf")
        self._retained: dict[str, Message] = {}
        self._unsent: dict[str, None] = {}  # topics whose newest value is not sent yet, in order
        self._answers: deque[Message] = deque(maxlen=MAX_ANSWERS)
        self._pipeline_version = self._problems_version = 0
        self._health_at_s = float("inf")
        for message in retained:
            self.retain(message)
        for rule in rules:
            label = clock.label(pipeline.since_s)
            self.retain(wire.state(topics, rule.name, "unknown", None, label, None, None))
        self._retain_pipeline()

    def start(self) -> None:
        """Begins to connect."""
        self._broker.start()

    def retain(self, message: Message) -> None:
        """Has the newest value of a retained topic sent, now and on every connection. An empty one clears it."""
        self._retained[message.topic] = message
        self._unsent[message.topic] = None

    def answer(self, message: Message) -> None:
        """Has a message sent once while the connection is good; the oldest of too many are forgotten."""
        self._answers.append(message)

    def tell_health(self) -> None:
        """Has health told at the next turn: it is not retained, and somebody new listens."""
        self._health_at_s = float("-inf")

    def drop(self, text: str, wait_s: float) -> None:
        """Gives the connection up and does not come back before `wait_s`."""
        self._broker.drop(text, wait_s)

    def pump(self, events: Sequence[Event], decisions: Sequence[Decision]) -> None:
        """One turn: takes what is new, answers what came, sends what may be sent. Never blocks.

        Args:
            events: what the outbox made of this turn's decisions.
            decisions: this turn's decisions, with and without an event.
        """
        if decisions:
            self._retain_states(events, decisions)
        if self._pipeline.version != self._pipeline_version:
            self._retain_pipeline()
        while (notice := self._broker.poll()) is not None:
            self._take(notice)
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
                self.retain(wire.availability(self._topics, self._word))
        while self._clock.monotonic() < stop_s:
            self._outbox.append(())
            self.pump((), ())
            # Without a connection only events are worth waiting for: the will tells the rest.
            said = self._link is Link.DOWN or (self._link is Link.UP and not self._flying and not self._unsent)
            if said and not self._outbox.counts().rows:
                break
            self._clock.sleep(0.01)
        self._outbox.append(())
        self._broker.stop(STOP_REASON_WITH_WILL if self._will_delay else 0)

    def _retain_pipeline(self) -> None:
        pipeline = self._pipeline
        self._pipeline_version = pipeline.version
        for code in ("camera_lost", "camera_fault"):
            self._problems.set(code, pipeline.reason if pipeline.state == code else None, pipeline.since_s)
        since = self._clock.label(pipeline.since_s)
        self.retain(wire.pipeline(self._topics, pipeline.state, pipeline.reason, since))

    def _retain_states(self, events: Sequence[Event], decisions: Sequence[Decision]) -> None:
        remaining = iter(events)
        for decision in decisions:
            event = next(remaining) if decision.event_type is not None else None
            since = event.time if event else self._clock.label(decision.t_s)
            seq, id_ = (event.seq, event.id) if event else (None, None)
            name = decision.rule.name
            self.retain(wire.state(self._topics, name, decision.state, decision.score, since, seq, id_))

    def _take(self, notice: Notice) -> None:
        now_s = self._clock.monotonic()
        if isinstance(notice, Acknowledged):
            self._acknowledged(notice)
        elif isinstance(notice, Received):
            self.on_received(notice)
        elif isinstance(notice, Connected):
            self._link, self._window = Link.RETAINED, notice.window
            self._flying.clear()
            self._unsent = dict.fromkeys(topic for topic in self._retained if topic != self._topics.availability)
            if self._problems.set("broker_lost", None, now_s):
                log.info("connected to the broker")
        else:
            self._link = Link.DOWN
            self._flying.clear()
            self._outbox.release()
            if self._problems.set("broker_lost", notice.text, now_s):
                log.warning("%s; events are kept, trying again for ever", notice.text)
            self.on_lost(notice)

    def _acknowledged(self, notice: Acknowledged) -> None:
        flight = self._flying.pop(notice.mid, None)
        if flight is None:
            return
        self._watch_refusals(flight.topic, notice.refused)
        if flight.event is None:
            return
        if notice.refused is None:
            self._outbox.acknowledge(flight.event)
        elif notice.for_good:
            # Sent again and again it would only keep the events behind it waiting.
            self._outbox.refuse(flight.event)
        else:
            # Whatever is wrong with the broker, it is wrong for all: the order is kept by waiting.
            self._outbox.release(flight.event)
            self._paused_until_s = self._clock.monotonic() + REFUSED_PAUSE_S

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

    def _send(self) -> None:
        now_s = self._clock.monotonic()
        if self._silent(now_s):
            return
        if self._link is Link.RETAINED and not self._unsent and not self._flying:
            self._link = Link.ONLINE
            self.retain(wire.availability(self._topics, self._word))
        while len(self._flying) < self._window and self._unsent:
            topic = next(iter(self._unsent))
            if not self._publish(self._retained[topic], now_s):
                return
            del self._unsent[topic]
        if self._link is Link.ONLINE and not self._unsent and not self._flying:
            self._link, self._health_at_s = Link.UP, float("-inf")
        if self._link is Link.UP:
            self._send_health(now_s)
            while self._answers and len(self._flying) < self._window and self._publish(self._answers[0], now_s):
                self._answers.popleft()
            if now_s >= self._paused_until_s:
                self._send_events(now_s)

    def _silent(self, now_s: float) -> bool:
        """Whether the broker has left a message unanswered for too long: then the connection is no good."""
        oldest_s = next((flight.sent_s for flight in self._flying.values()), now_s)
        if now_s - oldest_s < ANSWER_TIMEOUT_S:
            return False
        self._broker.drop(f"the broker has not answered for {ANSWER_TIMEOUT_S:g} s")
        return True

    def _send_health(self, now_s: float) -> None:
        if now_s >= self._health_at_s or self._problems.version != self._problems_version:
            self._problems_version = self._problems.version
            self._health_at_s = now_s + HEALTH_PERIOD_S
            self._broker.publish(self._health())

    def _send_events(self, now_s: float) -> None:
        while len(self._flying) < self._window and (event := self._outbox.next(live=True)) is not None:
            if not self._publish(wire.event(self._topics, event, late=False), now_s, event):
                return
        room = max(1, self._window - RESERVED)
        while len(self._flying) < room and self._drain.may(now_s):
            event = self._outbox.next(live=False)
            if event is None:
                return
            if self._overtakes(event):
                self._outbox.release(event)
                return
            self._drain.took()
            if not self._publish(wire.event(self._topics, event, late=True), now_s, event, late=True):
                return

    def _overtakes(self, event: Event) -> bool:
        """Whether an older one is in flight as live: should it come back, it must be the first on the backlog."""
        flights = self._flying.values()
        return any(flight.event and not flight.late and flight.event.seq < event.seq for flight in flights)

    def _publish(self, message: Message, now_s: float, event: Event | None = None, late: bool = False) -> bool:
        mid = self._broker.publish(message)
        if mid is None:
            if event is not None:
                self._outbox.release(event)
            return False
        self._flying[mid] = _Flight(message.topic, now_s, event, late)
        return True
