"""Everything that the device says, in the order in which it may be said.

Law: on each connection the retained topics go first, `online` when the broker acknowledged them all, and only then
health, answers and events: nobody sees a stale state come alive. Of a retained topic only the newest value is ever
sent; an event leaves the outbox only when the broker answered it; live events go first and the backlog follows at its
own pace. Nothing here blocks, knows paho, or makes a payload.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from edged.core import wire
from edged.core.drain import Drain
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.refusals import Refusals
from edged.core.retained import REFUSED_PAUSE_S, Retained
from edged.core.types import Decision, Event, Message, Rule
from edged.duties import states
from edged.duties.flights import Answered, Flight, Flights
from edged.ports import Acknowledged, Broker, Clock, Connected, Disconnected, Notice, Outbox, Received

HEALTH_PERIOD_S = 60.0
ANSWER_TIMEOUT_S = 15.0
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
        on_connected: called on each connection, before anything is said on it.
        on_lost: gets every end of a connection.
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
        self.on_connected: Callable[[], None] = lambda: None
        self.on_lost: Callable[[Disconnected], None] = lambda _: None
        self._broker, self._outbox, self._clock, self._topics = broker, outbox, clock, topics
        self._pipeline, self._problems, self._health = pipeline, problems, health
        self._will_delay = will_delay
        self._word = wire.ONLINE
        self._link = Link.DOWN
        self._window = 1
        self._drain = Drain(drain_per_s)
        self._flying = Flights()
        self._refusals, self._retained = Refusals(), Retained()
        self._paused_until_s = float("-inf")
        self._answers: deque[tuple[Message, Answered]] = deque(maxlen=MAX_ANSWERS)
        self._pipeline_version = self._problems_version = 0
        self._health_at_s = float("inf")
        for message in (*retained, *states.unknown(topics, rules, clock, pipeline.since_s)):
            self.retain(message)
        self._retain_pipeline()

    def start(self) -> None:
        """Begins to connect."""
        self._broker.start()

    def retain(self, message: Message) -> None:
        """Has the newest value of a retained topic sent, now and on every connection."""
        self._retained.put(message)

    def clear(self, topic: str, answered: Callable[[str | None], object]) -> None:
        """Takes what is retained on a topic off the broker, once and on this connection, see `Retained.clear`."""
        self._retained.clear(topic, answered)

    def answer(self, message: Message, taken: Callable[[], object] = lambda: None) -> None:
        """Has a message sent once while the connection is good; the oldest of too many are forgotten.

        Args:
            taken: called when the broker took it.
        """
        self._answers.append((message, lambda notice: notice.refused or taken()))

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
        for state in states.decided(self._topics, self._clock, events, decisions) if decisions else ():
            self.retain(state)
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
            if (self._link is Link.DOWN or self._all_said()) and not self._outbox.counts().rows:
                break
            self._clock.sleep(0.01)
        self._outbox.append(())
        said_offline = self._word == wire.OFFLINE and self._all_said()
        self._broker.stop(0 if said_offline else STOP_REASON_WITH_WILL)

    def _all_said(self) -> bool:
        return self._link is Link.UP and not self._flying and self._retained.settled

    def _retain_pipeline(self) -> None:
        pipeline = self._pipeline
        self._pipeline_version = pipeline.version
        for code in ("camera_lost", "camera_fault"):
            self._problems.set(code, pipeline.reason if pipeline.state == code else None, pipeline.since_s)
        since = self._clock.label(pipeline.since_s)
        self.retain(wire.pipeline(self._topics, pipeline.state, pipeline.reason, since))

    def _take(self, notice: Notice) -> None:
        now_s = self._clock.monotonic()
        if isinstance(notice, Acknowledged):
            self._acknowledged(notice)
        elif isinstance(notice, Received):
            self.on_received(notice)
        elif isinstance(notice, Connected):
            self._link, self._window = Link.RETAINED, notice.window
            self._flying.clear()
            self._retained.connected(last=self._topics.availability)
            self.on_connected()
            if self._problems.set("broker_lost", None, now_s):
                log.info("connected to the broker")
        else:
            self._link = Link.DOWN
            self._flying.clear()
            self._retained.lost()
            self._outbox.release()
            if self._problems.set("broker_lost", notice.text, now_s):
                log.warning("%s; events are kept, trying again for ever", notice.text)
            self.on_lost(notice)

    def _acknowledged(self, notice: Acknowledged) -> None:
        flight = self._flying.land(notice.mid)
        if flight is None:
            return
        # What may not be cleared is no message that gets lost; whoever clears hears of it.
        if flight.message.payload and self._refusals.note(flight.message.topic, notice.refused):
            text = self._refusals.text
            if self._problems.set("event_refused", text, self._clock.monotonic()) and text:
                log.warning("%s", text)
        flight.answered(notice)

    def _event_answered(self, event: Event, notice: Acknowledged) -> None:
        if notice.refused is None:
            self._outbox.acknowledge(event)
        elif notice.for_good:
            # Sent again and again it would only keep the events behind it waiting.
            self._outbox.refuse(event)
        else:
            # Whatever is wrong with the broker, it is wrong for all: the order is kept by waiting.
            self._outbox.release(event)
            self._paused_until_s = self._clock.monotonic() + REFUSED_PAUSE_S

    def _send(self) -> None:
        now_s = self._clock.monotonic()
        if self._silent(now_s):
            return
        if self._link is Link.RETAINED and self._retained.settled and not self._flying:
            self._link = Link.ONLINE
            self.retain(wire.availability(self._topics, self._word))
        if not self._send_retained(now_s):
            return
        if self._link is Link.ONLINE and self._retained.settled and not self._flying:
            self._link, self._health_at_s = Link.UP, float("-inf")
        if self._link is Link.UP:
            self._send_health(now_s)
            self._send_answers(now_s)
            if now_s >= self._paused_until_s:
                self._send_events(now_s)

    def _send_retained(self, now_s: float) -> bool:
        """False where the connection takes nothing now."""
        while len(self._flying) < self._window and (message := self._retained.next(now_s)) is not None:
            answered = functools.partial(self._retained_answered, message.topic)
            if not self._publish(Flight(message, now_s, answered)):
                return False
            self._retained.sent(message.topic)
        return True

    def _retained_answered(self, topic: str, notice: Acknowledged) -> None:
        self._retained.answered(topic, notice.refused, notice.for_good, self._clock.monotonic())

    def _send_answers(self, now_s: float) -> None:
        while self._answers and len(self._flying) < self._window:
            message, answered = self._answers[0]
            if not self._publish(Flight(message, now_s, answered)):
                return
            self._answers.popleft()

    def _silent(self, now_s: float) -> bool:
        """Whether the broker has left a message unanswered for too long: then the connection is no good."""
        if self._flying.oldest_s(now_s) < ANSWER_TIMEOUT_S:
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
            if not self._publish_event(event, now_s, late=False):
                return
        room = max(1, self._window - RESERVED)
        while len(self._flying) < room and self._drain.may(now_s):
            event = self._outbox.next(live=False)
            if event is None:
                return
            if self._flying.overtaken(event):
                self._outbox.release(event)
                return
            self._drain.took()
            if not self._publish_event(event, now_s, late=True):
                return

    def _publish_event(self, event: Event, now_s: float, *, late: bool) -> bool:
        message = wire.event(self._topics, event, late=late)
        flight = Flight(message, now_s, functools.partial(self._event_answered, event), event, late)
        if self._publish(flight):
            return True
        self._outbox.release(event)
        return False

    def _publish(self, flight: Flight) -> bool:
        """False where the connection takes nothing now."""
        mid = self._broker.publish(flight.message)
        if mid is not None:
            self._flying.add(mid, flight)
        return mid is not None
