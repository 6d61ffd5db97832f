"""Listening to a broker, for a person: a client of its own with a random name and no will. Same door as `mqtt.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Subscriber:
    """Calls back for every message on some topics.

    Args:
        topics: filters.
        on_message: gets topic, payload and the retain flag, in paho's network thread; must not raise.
    """

    def __init__(
        self,
        host: str,
        port: int,
        protocol: str,
        topics: Sequence[str],
        on_message: Callable[[str, bytes, bool], None],
    ) -> None:
        self._address = (host, port)
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5 if protocol == "5" else paho.MQTTv311
        )
        self._client.connect_timeout = 5.0
        self._subscribed = threading.Event()
        self._filters = [(topic, 1) for topic in topics]

        def connected(client: paho.Client, *_: Any) -> None:
            client.subscribe(self._filters)

        def received(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
            on_message(message.topic, bytes(message.payload), message.retain)

        self._client.on_connect = connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = received

    def start(self, timeout_s: float) -> bool:
        """Connects and subscribes; False when that is not done within the time-out."""
        self._client.connect_async(*self._address)
        self._client.loop_start()
        return self._subscribed.wait(timeout_s)

    def stop(self) -> None:
        """Ends the connection and its thread."""
        self._client.disconnect()
        self._client.loop_stop()
