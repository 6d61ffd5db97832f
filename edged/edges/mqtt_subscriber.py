"""Listening to a broker, for a person: a client of its own with a random name and no will. Same door as `mqtt.py`.

Law: shows what is there and stores nothing. It says nothing on its own, but for taking retained messages off the broker
when a person asks for that. Reconnecting is paho's: a view has no state that could come back stale.
"""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from edged.edges import mqtt_client
from edged.edges.tls import TlsContext, explain

RETRY_S = (1, 30)


class Subscriber:
    """Calls back for every message on some topics, over every loss of the connection.

    Args:
        topics: filters.
        on_message: gets topic, payload and the retain flag, in paho's network thread; must not raise.
        username, password: None for a broker without login.
        tls: None for a connection without TLS.
        on_state: gets None when it listens, and a sentence for a person when it does not, or not to all of the topics;
            each only when it is another than before. In paho's network thread; must not raise.
        is_clock_synced: whether a certificate's dates can be judged.
    """

    def __init__(
        self,
        host: str,
        port: int,
        protocol: str,
        topics: Sequence[str],
        on_message: Callable[[str, bytes, bool], None],
        *,
        username: str | None = None,
        password: str | None = None,
        tls: TlsContext | None = None,
        keepalive_s: int = 60,
        on_state: Callable[[str | None], None] = lambda _: None,
        is_clock_synced: Callable[[], bool] = lambda: True,
    ) -> None:
        self._address = (host, port, keepalive_s)
        self._filters = [(topic, 1) for topic in topics]
        self._tls, self._is_clock_synced = tls, is_clock_synced
        self._on_state = on_state
        self._said: str | None = ""
        self._answered = self._refused = self._stopped = False
        self._subscribed = threading.Event()
        self._codes: dict[int, str] = {}
        self._acknowledged = threading.Condition()
        self._client = mqtt_client.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"edged-view-{secrets.token_hex(4)}",
            protocol=paho.MQTTv5 if protocol == "5" else paho.MQTTv311,
        )
        # An exception in a callback would end paho's thread in silence.
        self._client.suppress_exceptions = True
        self._client.connect_timeout = mqtt_client.CONNECT_TIMEOUT_S
        self._client.reconnect_delay_set(*RETRY_S)
        self._client.max_inflight_messages_set(mqtt_client.WINDOW)
        if username is not None:
            self._client.username_pw_set(username, password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._listen(on_message)

    def start(self, timeout_s: float) -> bool:
        """Begins to connect; False when it does not listen within the time-out. It goes on trying then."""
        self._client.connect_async(*self._address)
        self._client.loop_start()
        return self._subscribed.wait(timeout_s)

    def clear(self, topics: Sequence[str], timeout_s: float) -> Mapping[str, str]:
        """Takes what is retained on topics off the broker.

        Returns:
            The topics that the broker did not clear, each with its reason; empty when all went well.
        """
        sent = {self._client.publish(topic, b"", qos=1, retain=True).mid: topic for topic in topics}
        with self._acknowledged:
            self._acknowledged.wait_for(lambda: sent.keys() <= self._codes.keys(), timeout_s)
            return {topic: code for mid, topic in sent.items() if (code := self._codes.get(mid, "no answer"))}

    def stop(self) -> None:
        """Ends the connection and waits a moment for its thread."""
        self._stopped = True
        self._client.disconnect()
        stopping = threading.Thread(target=self._client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(mqtt_client.STOP_WAIT_S)
        self._listen_no_more()

    def _listen(self, on_message: Callable[[str, bytes, bool], None]) -> None:
        def message(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
            on_message(message.topic, bytes(message.payload), message.retain)

        def published(_client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
            with self._acknowledged:
                self._codes[mid] = str(code) if code.is_failure else ""
                self._acknowledged.notify_all()

        self._client.on_pre_connect = self._begins
        self._client.on_connect = self._connected
        self._client.on_connect_fail = lambda *_: self._say(self._explained(sys.exc_info()[1]))
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._granted
        self._client.on_message = message
        self._client.on_publish = published

    def _listen_no_more(self) -> None:
        """Lets go of the client, which then closes what it still has open at once and not when the garbage is taken."""
        client = self._client
        client.on_pre_connect = client.on_connect = client.on_connect_fail = client.on_disconnect = None
        client.on_subscribe = client.on_message = client.on_publish = None

    def _begins(self, *_: Any) -> None:
        self._answered = self._refused = False

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._answered = True
        if code.is_failure:
            self._refused = True
            self._say(mqtt_client.refusal(code))
        else:
            client.subscribe(self._filters)

    def _granted(self, _client: paho.Client, _data: Any, _mid: int, codes: Sequence[ReasonCode], _: Any) -> None:
        refused = [
            f"{topic} ({code})" for (topic, _), code in zip(self._filters, codes, strict=False) if code.is_failure
        ]
        self._say(f"the broker refuses the subscription to {', '.join(refused)}" if refused else None)
        if len(refused) < len(self._filters):
            self._subscribed.set()

    def _disconnected(self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        trouble = self._tls.trouble if self._tls else None
        if self._stopped or self._refused:  # we asked for it, or it has been told already
            return
        if trouble is not None and not self._answered:
            self._say(self._explained(trouble))
        elif not self._answered:
            hint = "" if self._tls else "; where that is its TLS port, [mqtt.tls] is needed"
            self._say(f"the broker closes the connection without an answer{hint}")
        else:
            self._say(f"the connection to the broker ended ({code})")

    def _explained(self, error: BaseException | None) -> str:
        return explain(error, self._is_clock_synced())

    def _say(self, text: str | None) -> None:
        if text != self._said:
            self._said = text
            self._on_state(text)
