"""The broker: the only door to paho.

Law: nothing here decides what is said or in which order, and nothing here blocks the loop. paho's network thread only
appends to a queue that the loop polls; every callback is wrapped, because an exception in one ends that thread
silently and leaves a client that says it is connected (measured with paho 2.2).

Each connection has a client of its own. paho's reconnect sends what it had in flight before anyone is asked, and so
could bring a stale state, or `online`, in front of the states that are true now; a new client has nothing to repeat.
"""

from __future__ import annotations

import functools
import logging
import random
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable
from threading import Event
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edged.core.backoff import Backoff
from edged.core.types import Message
from edged.ports import Acknowledged, Clock, Connected, Disconnected, Notice

WINDOW = 8
SESSION_EXPIRY_S = 60
WILL_DELAY_S = 10
MAX_PACKET_BYTES = 16 * 1024
CONNECT_TIMEOUT_S = 5.0
STOP_WAIT_S = 2.0

log = logging.getLogger("edged.mqtt")

_NO_V5 = frozenset({0x01, 0x84})
"""Unsupported protocol version, as MQTT 3.1.1 and 5 say it."""

# The loop hands over at most WINDOW unacknowledged messages, so this many notices is a bound that is never met.
_NOTICES = 256


class PahoBroker:
    """A connection to the broker that heals itself.

    Args:
        host, port: where the broker is; resolved anew at each try.
        client_id: also names the session; two daemons must not share it.
        protocol: "5", or "3.1.1" for brokers that know no better (no will delay, refusals are not told).
        will: published by the broker when the daemon is gone.
        will_delay_s: how long the broker waits for the daemon to be back before it publishes the will (MQTT 5).
        username, password: None for a broker without login.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: str,
        protocol: str,
        keepalive_s: int,
        will: Message,
        username: str | None,
        password: str | None,
        clock: Clock,
        will_delay_s: int = WILL_DELAY_S,
    ) -> None:
        self._host, self._port, self._keepalive_s = host, port, keepalive_s
        self._will_delay_s = will_delay_s
        self._client_id, self._will = client_id, will
        self._login = (username, password)
        self._v5 = protocol == "5"
        self._clock = clock
        self._notices: deque[tuple[int, Notice]] = deque(maxlen=_NOTICES)
        self._backoff = Backoff(first_s=1.0, cap_s=60.0, decay_s=30.0)
        self._client: paho.Client | None = None
        self._generation = 0
        self._ended = Event()
        self._retry_s: float | None = None

    def start(self) -> None:
        """Begins to connect; what becomes of it comes through `poll`."""
        self._connect()

    def poll(self) -> Notice | None:
        """The next thing that happened; also begins the next try when it is time."""
        while self._notices:
            generation, notice = self._notices.popleft()
            # A refused login comes twice, as a refusal and as the end of the connection; the first is the one to tell.
            if generation != self._generation or self._client is None:
                continue
            if isinstance(notice, Connected):
                self._backoff.worked(self._clock.monotonic())
            elif isinstance(notice, Disconnected):
                self._lost()
            return notice
        if self._retry_s is not None and self._clock.monotonic() >= self._retry_s:
            self._connect()
        return None

    def publish(self, message: Message) -> int | None:
        """Hands a message to the network thread; None when there is no connection to take it."""
        if self._client is None:
            return None
        properties = _publish_properties(message.payload.startswith(b"{"), message.expiry_s) if self._v5 else None
        sent = self._client.publish(
            message.topic, message.payload, qos=message.qos, retain=message.retain, properties=properties
        )
        return sent.mid if sent.rc == paho.MQTT_ERR_SUCCESS else None

    def stop(self, reason_code: int) -> None:
        """Disconnects and waits a moment for the network thread; a stuck one is left behind, it is a daemon."""
        self._retry_s = None
        client, self._client = self._client, None
        if client is None:
            return
        reason = ReasonCode(PacketTypes.DISCONNECT, identifier=reason_code) if self._v5 else None
        client.disconnect(reasoncode=reason)
        self._ended.wait(STOP_WAIT_S)
        self._ended.set()

    def _lost(self) -> None:
        self._client = None
        delay_s = self._backoff.failed(self._clock.monotonic())
        # Full jitter, so that twenty boards do not come back to a restarted broker in the same moment.
        self._retry_s = self._clock.monotonic() + random.uniform(0.2 * delay_s, delay_s)  # noqa: S311

    def _connect(self) -> None:
        self._retry_s = None
        self._generation += 1
        self._ended = Event()
        client = self._client = self._new_client(self._generation, self._ended)
        options: dict[str, Any] = {}
        if self._v5:
            options["properties"] = _properties(PacketTypes.CONNECT)
            options["properties"].SessionExpiryInterval = SESSION_EXPIRY_S
            options["properties"].MaximumPacketSize = MAX_PACKET_BYTES
            options["clean_start"] = False
        client.connect_async(self._host, self._port, self._keepalive_s, **options)
        client.loop_start()

    def _new_client(self, generation: int, ended: Event) -> paho.Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=paho.MQTTv5 if self._v5 else paho.MQTTv311,
            clean_session=None if self._v5 else False,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(WINDOW)
        client.max_queued_messages_set(2 * WINDOW)
        if self._login[0] is not None:
            client.username_pw_set(*self._login)
        will = _properties(PacketTypes.WILLMESSAGE) if self._v5 else None
        if will is not None:
            will.WillDelayInterval = self._will_delay_s
        client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain, properties=will)
        _listen(client, functools.partial(self._note, generation), ended)
        return client

    def _note(self, generation: int, notice: Notice) -> None:
        self._notices.append((generation, notice))


def _listen(client: paho.Client, note: Callable[[Notice], None], ended: Event) -> None:
    """Turns paho's callbacks into notices. All of this runs in the network thread."""

    @_guarded
    def on_connect(client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            remedy = '; set [mqtt] protocol = "3.1.1"' if code.value in _NO_V5 else ""
            note(Disconnected(f"the broker refuses the connection: {code}{remedy}"))
            client.disconnect()
            return
        if ended.is_set():
            # Stopped while it was connecting: paho finishes that first.
            client.disconnect()
            return
        maximum = getattr(properties, "ReceiveMaximum", None) or WINDOW
        note(Connected(window=min(WINDOW, int(maximum))))

    @_guarded
    def on_connect_fail(client: paho.Client, _data: Any) -> None:
        error = sys.exc_info()[1]
        note(Disconnected(f"the broker cannot be reached: {_in_words(error)}"))
        # Without this the thread would go on trying by itself, without jitter.
        client.disconnect()
        ended.set()

    @_guarded
    def on_disconnect(_client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        note(Disconnected(f"the connection to the broker ended: {code}"))
        ended.set()

    @_guarded
    def on_publish(_client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        note(Acknowledged(mid, str(code) if code.is_failure else None))

    @_guarded
    def on_socket_open(_client: paho.Client, _data: Any, opened: Any) -> None:
        # paho does not. Behind a message that the broker does not answer (health) the kernels of both sides would
        # wait for each other, and the next event come 40 ms later.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_socket_open = on_socket_open
    client.on_connect = on_connect
    client.on_connect_fail = on_connect_fail
    client.on_disconnect = on_disconnect
    client.on_publish = on_publish


class _Client(paho.Client):
    """A client whose network thread survives whatever goes wrong with a connection."""

    def reconnect(self) -> MQTTErrorCode:
        try:
            return super().reconnect()
        except OSError:
            raise
        except Exception as error:
            # paho's thread lives through an OSError alone; a name that cannot be encoded for DNS is a UnicodeError.
            raise OSError(str(error)) from error


class _PackedProperties(Properties):
    """Properties whose bytes are made once.

    paho's `pack()` looks each known name up under a string that it has just made. The interpreter's attribute cache
    keeps those strings, some hundred at a time: a heap that wanders by 20 kB, for bytes that never change.
    """

    @functools.cached_property
    def packed(self) -> bytes:
        return bytes(super().pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        return self.packed


@functools.cache
def _publish_properties(is_json: bool, expiry_s: int | None) -> Properties:
    properties = _PackedProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if is_json:
        properties.PayloadFormatIndicator = 1
        properties.ContentType = "application/json"
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties


def _properties(packet: int) -> Properties:
    properties: Properties = Properties(packet)  # type: ignore[no-untyped-call]
    return properties


def _in_words(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _guarded(callback: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(callback)
    def guarded(*args: Any) -> None:
        try:
            callback(*args)
        except Exception:
            log.exception("%s failed; the connection may not notice what it should", callback.__name__)

    return guarded
