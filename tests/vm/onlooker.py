"""A subscriber outside the machine, which notes how far the recording of the disk was when it heard of an event."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.vm.appliance import until

EVENTS_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """An event that a subscriber got.

    Attributes:
        log_bytes: how long the recording was at that moment: what the event needed on the disk was asked for before.
    """

    seq: int
    id: str
    log_bytes: int


class Onlooker:
    """Hears events from `with` to its end; connects as soon as there is a broker, and again when it was away.

    Args:
        port: of this machine, where the broker is reached.
        topic: the device's, above the kinds of messages.
        log: the recording, where there is one.

    Attributes:
        seen: in the order of arrival, repeats as well.
    """

    def __init__(self, port: int, topic: str, log: Path | None = None) -> None:
        self.seen: list[Seen] = []
        self._log = log
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        filters = [(f"{topic}/{kind}/+", 1) for kind in ("event", "backlog")]
        self._client.on_connect = lambda client, *_: client.subscribe(filters)
        self._client.on_message = self._heard
        self._client.connect_async("127.0.0.1", port, 30)

    def _heard(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        log_bytes = self._log.stat().st_size if self._log else 0
        event = json.loads(message.payload)
        self.seen.append(Seen(event["seq"], event["id"], log_bytes))

    def wait(self, count: int) -> None:
        """Waits until so many more events came."""
        wanted = len(self.seen) + count
        until(lambda: len(self.seen) >= wanted, EVENTS_LIMIT_S)

    def rest(self, seconds: float) -> None:
        """Lets so much time pass, so that what follows has nothing to do with the moment of an event."""
        threading.Event().wait(seconds)

    def __enter__(self) -> Onlooker:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
