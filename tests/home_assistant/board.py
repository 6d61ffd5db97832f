"""A board that says what edged says, in its order, with the payloads that edged makes; a test decides when."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edged.core import homeassistant, wire
from edged.core.activation import Record
from edged.core.problems import Problem
from edged.core.types import Event, Message, PipelineState, Rule, State, WallTime
from tests.fakes import condition

WILL_DELAY_S = 1
BIRTH_TOPIC = "homeassistant/status"


def now() -> WallTime:
    return WallTime(time.time(), "synced")


class Board:
    """One device. `asked` has what Home Assistant sent to it: (topic, payload).

    Attributes:
        rules, commands, title: as configured; change them and `announce` again.
    """

    def __init__(
        self, port: int, device: str, rules: Sequence[Rule], *, title: str = "", commands: bool = True
    ) -> None:
        self.device, self.rules, self.title, self.commands = device, list(rules), title, commands
        self.topics = wire.Topics("edged", device)
        self.asked: list[tuple[str, str]] = []
        self.gone: dict[str, homeassistant.Component] = {}
        self._port, self._seq = port, 0

    async def __aenter__(self) -> Board:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leaves nothing behind, as `edged forget` does."""
        await self.say(homeassistant.removal(self.device, discovery_prefix="homeassistant"))
        topics = [self.topics.availability, self.topics.pipeline, self.topics.enabled, self.topics.update]
        topics += [topic(rule.name) for rule in self.rules for topic in (self.topics.state, self.topics.threshold)]
        for topic in topics:
            await self.say(Message(topic, b"", 1, retain=True))
        self._client.disconnect()
        self._client.loop_stop()

    async def connect(self) -> None:
        """As the publisher does on each connection: retained topics, then `online`, then health."""
        self._client = client = paho.Client(paho.CallbackAPIVersion.VERSION2, f"edged-{self.device}", protocol=5)
        will, session = Properties(PacketTypes.WILLMESSAGE), Properties(PacketTypes.CONNECT)
        will.WillDelayInterval, session.SessionExpiryInterval = WILL_DELAY_S, 60
        client.will_set(self.topics.availability, wire.OFFLINE, qos=1, retain=True, properties=will)
        client.on_message = lambda *given: self.asked.append((given[2].topic, given[2].payload.decode()))
        client.connect("127.0.0.1", self._port, clean_start=True, properties=session)
        client.loop_start()
        sets = (self.topics.enabled_set, self.topics.threshold_set("+"), self.topics.update_set)
        for topic in (*sets, self.topics.request("+"), BIRTH_TOPIC):
            client.subscribe(topic, qos=1)
        await self.announce()
        await self.pipeline("starting")
        for rule in self.rules:
            await self.state(rule.name, "unknown")
            await self.say(wire.threshold(self.topics, rule.name, rule.score_threshold))
        await self.say(wire.enabled(self.topics, True))
        await self.update("1.0.0")
        await self.say(wire.availability(self.topics, wire.ONLINE))
        await self.health()

    async def kill(self) -> None:
        """Ends like a process that is killed: no DISCONNECT, so that the broker publishes the will."""
        self._client.loop_stop()
        connection = self._client.socket()
        assert connection is not None
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    async def say(self, message: Message) -> None:
        """Publishes, and waits until the broker has it."""
        sent = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        await asyncio.to_thread(sent.wait_for_publish, 10.0)
        assert sent.is_published(), message.topic

    def components(self) -> Mapping[str, homeassistant.Component]:
        """What the device announces now."""
        return homeassistant.components(self.device, self.topics, self.rules, commands=self.commands)

    async def announce(self, *, back: bool = False) -> None:
        """Publishes the discovery payload."""
        await self.say(
            homeassistant.discovery(
                *(self.device, self.title, self.topics, self.rules, "1.0.0", "Raspberry Pi 4 Model B"),
                discovery_prefix="homeassistant",
                commands=self.commands,
                gone=self.gone,
                back=back,
            )
        )

    def configure(self, rules: Sequence[Rule], *, commands: bool = True) -> None:
        """Another configuration: what goes is remembered as gone."""
        before = self.gone | dict(self.components())
        self.rules, self.commands = list(rules), commands
        self.gone = homeassistant.gone(before, self.components())

    async def pipeline(self, state: PipelineState, reason: str | None = None) -> None:
        await self.say(wire.pipeline(self.topics, state, reason, now()))

    async def state(self, rule: str, value: State) -> None:
        await self.say(wire.state(self.topics, rule, value, 0.91, now(), None, None))

    async def enabled(self, on: bool) -> None:
        await self.say(wire.enabled(self.topics, on))

    async def update(self, version: str, newest: str | None = None, *, preparing: bool = False) -> None:
        previous = version if preparing else None
        record = Record("preparing" if preparing else "settled", "toy", version, previous, None, now())
        await self.say(wire.update(self.topics, record, newest or version))

    async def threshold(self, rule: str, value: float) -> None:
        await self.say(wire.threshold(self.topics, rule, value))

    async def event(self, rule: Rule, event_type: Any, reason: str | None = None) -> None:
        self._seq += 1
        ended = event_type == "end"
        event = Event(
            id=f"01JD{self._seq:022}",
            seq=self._seq,
            log="01JC0000000000000000000000",
            boot_id="11111111-2222-3333-4444-555555555555",
            event_type=event_type,
            rule=rule.name,
            label=rule.label,
            region=rule.region,
            score=0.9,
            peak_score=0.9,
            time=now(),
            start_time=now(),
            duration_s=1.0 if ended else None,
            reason=reason or ("gone" if ended else None),
            frame_age_ms=41,
            model="toy@ab12cd34",
            t_s=1.0,
            start_t_s=1.0,
        )
        await self.say(wire.event(self.topics, event, late=False))

    async def health(self, *problems: str, figures: dict[str, Any] | None = None, **changes: Any) -> None:
        known = {"disk_free_mb": 1234.5, "soc_temp_c": 61.0, "undervoltage": False, "throttled": False}
        values: dict[str, Any] = {
            "fps": 9.98,
            "frames": 1,
            "drops": 0,
            "damaged": 0,
            "invoke_ms": None,
            "frame_age_ms": None,
            "outbox": {
                "rows": 3,
                "bytes": None,
                "oldest_s": None,
                "dropped": 0,
                "set_aside": 0,
                "first_seq": None,
                "last_seq": None,
            },
            "requests_dropped": 0,
            "rss_mb": 80.0,
            "condition": condition(**{**known, **(figures or {})}),
            "clock_synced": True,
            "problems": [(Problem(code, 'It said: "no".', 1.0), now()) for code in problems],
        }
        await self.say(wire.health(self.topics, **{**values, **changes}))
