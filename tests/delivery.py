"""The side of a device that delivers, with a real outbox and a real connection and a clock that may run fast; and a
subscriber that keeps account of what arrives."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edged.core import wire
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.types import Decision, Event, Message, WallTime
from edged.duties.namesake import Namesake
from edged.duties.publisher import MqttPublisher
from edged.edges.mqtt import PahoBroker
from edged.edges.outbox_fallback import DurableOutbox
from tests.fakes import rule
from tests.outboxes import end, settings, start

RULE = "cat"
TURN_S = 0.005


class FastClock:
    """A clock that runs so many times as fast as the machine's. Every delay that the code waits for shrinks with it."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed, self._t0_s, self._utc_s = speed, time.monotonic(), time.time()

    def monotonic(self) -> float:
        return self._t0_s + (time.monotonic() - self._t0_s) * self._speed

    def label(self, t_s: float) -> WallTime:
        return WallTime(self._utc_s + t_s - self._t0_s, "synced")

    def is_synced(self) -> bool:
        return True

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds / self._speed)

    def age_ms(self, t_s: float) -> int | None:
        return max(0, round((self.monotonic() - t_s) * 1000))


@dataclass
class Account:
    """What arrived, by kind of topic ("event", "backlog"), in the order of arrival.

    Attributes:
        first: (log, seq) as they came for the first time on that kind.
        ids: every id that came with a (log, seq).
        messages: how many event messages there were, repeats among them.
        live_s: when a number came on `event`, monotonic seconds.
        delays_ms: from an event's own time to its arrival there, by the wall clock.
    """

    first: dict[str, dict[tuple[str, int], None]] = field(default_factory=lambda: {"event": {}, "backlog": {}})
    ids: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    events: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    messages: int = 0
    live_s: dict[int, float] = field(default_factory=dict)
    delays_ms: list[float] = field(default_factory=list)

    def take(self, kind: str, event: dict[str, Any], utc_s: float) -> None:
        key = (event["log"], event["seq"])
        self.messages += 1
        self.first[kind][key] = None
        self.ids.setdefault(key, set()).add(event["id"])
        self.events.setdefault(key, event)
        if kind == "event":
            self.live_s.setdefault(event["seq"], time.monotonic())
            self.delays_ms.append((utc_s - _utc_s(event["time"])) * 1000)

    @property
    def seqs(self) -> list[int]:
        """Every number that arrived, on whichever kind, in order."""
        return sorted(seq for _, seq in list(self.ids))

    @property
    def repeats(self) -> int:
        """Messages beyond the first of each number."""
        return self.messages - len(self.ids)

    def is_in_order(self) -> bool:
        """Whether on each kind every first arrival has a higher number than all before it."""
        return all(list(keys) == sorted(keys, key=lambda key: key[1]) for keys in self.first.values())

    def has_one_id_each(self) -> bool:
        """Whether a repeat had the id of the first."""
        return all(len(ids) == 1 for ids in self.ids.values()) and len(set.union(*self.ids.values())) == len(self.ids)


class Subscriber:
    """Keeps account of one device's events, over losses of its own connection too: the broker keeps its session.

    Attributes:
        words: what was said on `availability` since the subscription, with the wall time.
        told: every other message below the device, newest last, by topic.
    """

    def __init__(self, port: int, root: str, name: str = "account") -> None:
        self.account = Account()
        self.words: list[tuple[str, float]] = []
        self.told: dict[str, list[str]] = {}
        self._root = root
        self._listens = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{name}-{root[-12:]}", protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{root}/#", 1)
        self._client.on_subscribe = lambda *_: self._listens.set()
        self._client.on_message = self._heard
        properties: Any = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=properties)

    def _heard(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        level = message.topic.removeprefix(f"{self._root}/")
        kind = level.split("/")[0]
        if kind in ("event", "backlog"):
            self.account.take(kind, json.loads(message.payload), time.time())
        elif level == "availability":
            if not message.retain:  # what lay there is no news
                self.words.append((message.payload.decode(), time.time()))
        elif kind != "request" and not level.endswith("/set"):  # what others say to the device is theirs
            self.told.setdefault(level, []).append(bytes(message.payload).decode())

    def codes(self) -> set[str]:
        """The problems that health told of so far."""
        return {one["code"] for text in self.told.get("health", ()) for one in json.loads(text)["problems"]}

    def __enter__(self) -> Subscriber:
        self._client.loop_start()
        assert self._listens.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Rig:
    """A device without eyes: decisions are made by the test, everything behind them is the device's own.

    Args:
        port: of the broker, or of a network in front of it.
        speed: of its clock.
        drain_per_s: by that clock.
        bounds: of the outbox.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        prefix: str,
        *,
        speed: float = 1.0,
        drain_per_s: float = 20.0,
        protocol: str = "5",
        **bounds: Any,
    ) -> None:
        self.clock = FastClock(speed)
        self.topics = wire.Topics(prefix, "test")
        self.problems = Problems()
        self.outbox = DurableOutbox(folder / "outbox.db", self.clock, "boot", "toy@ab12cd34", **settings(**bounds))
        self.decided = 0
        self._told: list[str] = []
        will = wire.availability(self.topics, wire.OFFLINE)
        self.broker = PahoBroker(
            "127.0.0.1",
            port,
            client_id=f"edged-{prefix}",
            protocol=protocol,
            keepalive_s=5,
            will=will,
            username=None,
            password=lambda: None,
            clock=self.clock,
            filters=[self.topics.info],
        )
        self.publisher = MqttPublisher(
            self.broker,
            self.outbox,
            self.clock,
            self.topics,
            [rule(RULE)],
            Pipeline(self.clock.monotonic()),
            self.problems,
            [Message(self.topics.info, b'{"board":"this"}', 1, retain=True)],
            self._health,
            drain_per_s=drain_per_s,
            will_delay=protocol == "5",
        )
        self.namesake = Namesake(self.topics.info, "this", self.clock, self.problems, self.publisher.drop)
        self.publisher.on_received = self.namesake.received
        self.publisher.on_lost = self.namesake.lost
        self.publisher.start()

    def decide(self, count: int = 1, name: str = RULE) -> Sequence[Event]:
        """So many events, starts and ends in turn, stored in one transaction; sent from the next turn on."""
        decisions: list[Decision] = []
        for _ in range(count):
            decisions.append((end if self.decided % 2 else start)(self.clock.monotonic(), name))
            self.decided += 1
        return self.outbox.append(decisions)

    def turn(self) -> None:
        """One turn of the loop."""
        self.outbox.append(())
        self.publisher.pump((), ())
        self.namesake.turn()
        self._told += [one.code for one in self.problems.all() if one.code not in self._told]

    def run(self, condition: Callable[[], bool], timeout_s: float = 60.0, each: Callable[[], object] = int) -> None:
        """Turns until a condition holds; `timeout_s` by the machine's clock."""
        stop_s, never = time.monotonic() + timeout_s, threading.Event()
        while not condition():
            assert time.monotonic() < stop_s, f"not within {timeout_s:g} s: {self.outbox.counts()}"
            each()
            self.turn()
            never.wait(TURN_S)

    def is_empty(self) -> bool:
        """Whether the broker has taken everything."""
        return not self.outbox.counts().rows

    def problem(self, code: str) -> str | None:
        """The sentence of a problem that there is now."""
        return next((one.text for one in self.problems.all() if one.code == code), None)

    @property
    def told(self) -> list[str]:
        """The codes of all problems so far, in the order of their first time."""
        return self._told

    def close(self) -> None:
        self.publisher.close(0.0)
        self.outbox.close()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _health(self) -> Message:
        problems = [{"code": one.code, "text": one.text} for one in self.problems.all()]
        return Message(self.topics.health, json.dumps({"problems": problems}).encode(), 0, retain=False)


def _utc_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
