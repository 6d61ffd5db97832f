"""One connection: a paho client as edged wants it, and what its network thread tells. The other half of `mqtt.py`.

Law: callbacks only note what happened and are all wrapped, because an exception in one ends paho's thread silently and
leaves a client that says it is connected (measured with paho 2.2). No state of the connection is kept here.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import sys
from collections.abc import Callable, Collection, Sequence
from threading import Event
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edged.ports import Acknowledged, Connected, Disconnected, Notice, Received

WINDOW = 8
SESSION_EXPIRY_S = 60
MAX_PAYLOAD_BYTES = 16 * 1024
"""Of what anybody sends to the device: a bound on what waits for the loop."""
MAX_DESCRIPTION_BYTES = 64 * 1024
"""Of `D/info`, which the device reads itself: with 32 rules and long titles it has more."""
_HEADER_BYTES = 1024
"""Room for the topic and the properties of a packet."""
CONNECT_TIMEOUT_S = 5.0
STOP_WAIT_S = 2.0
"""So long a stop waits for a network thread; a stuck one is left behind, it is a daemon."""
DISCONNECT_WITH_WILL = 0x04

_TOO_LARGE, _INVALID = 0x95, 0x99
_FOR_GOOD = frozenset({0x87, 0x90, 0x95, 0x99})
"""Not authorized, topic name invalid, packet too large, payload format invalid: the same message is refused again."""

_NO_V5 = frozenset({0x01, 0x84})
"""Unsupported protocol version, as MQTT 3.1.1 and 5 say it."""
_NO_LOGIN = frozenset({0x86, 0x87})
"""Bad user name or password, not authorized; paho says MQTT 3.1.1's codes in those of 5."""

log = logging.getLogger("edged.mqtt")


def _wake_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, by which other threads wake the network thread."""
    pair = socket.socketpair()
    for end in pair:
        end.setblocking(False)
    return pair


# paho makes them by listening on loopback for a moment; edged promises that it listens on nothing.
paho._socketpair_compat = _wake_pair  # noqa: SLF001


class Client(paho.Client):
    """A client whose network thread survives whatever goes wrong with a connection.

    Attributes:
        turns: how often the network thread has finished a turn; it does so at least every second, but for `connecting`.
        connecting: the network thread looks up the broker's name and connects, which may take minutes.
    """

    turns = 0
    connecting = False

    @property
    def is_alive(self) -> bool:
        """Whether there is a network thread."""
        return self._thread is not None and self._thread.is_alive()

    def abandon(self) -> None:
        """Closes the sockets of a client whose network thread is gone."""
        self._reset_sockets()

    def leave(self) -> None:
        """Gives a connection up so that the broker publishes the will: the device is not there for now."""
        if self.protocol == paho.MQTTv5:
            self.disconnect(reasoncode=ReasonCode(PacketTypes.DISCONNECT, identifier=DISCONNECT_WITH_WILL))
            return
        # MQTT 3.1.1 knows one DISCONNECT, and that takes the will back: the broker must miss it. Past TLS, whose state
        # belongs to the network thread; that finds the end of the connection, and ends.
        opened = self.socket()
        if isinstance(opened, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(opened, socket.SHUT_RDWR)
        self.disconnect()

    def loop_misc(self) -> MQTTErrorCode:
        """paho's last act of each turn."""
        code = super().loop_misc()
        self.turns += 1
        return code

    def reconnect(self) -> MQTTErrorCode:
        """Connects, in the network thread; whatever goes wrong is an OSError, the only error that paho expects."""
        self.connecting = True
        try:
            return super().reconnect()
        except OSError:
            raise
        except Exception as error:
            # A name that cannot be encoded for DNS is a UnicodeError.
            raise OSError(str(error)) from error
        finally:
            self.connecting = False
            self.turns += 1

    def _handle_pubackcomp(self, cmd: Any) -> MQTTErrorCode:
        # Mosquitto answers a message over its size limit with a code that MQTT 5 does not have there, and paho takes
        # that for a malformed packet: the connection would break, and break again, over the same message.
        packet = self._in_packet["packet"]
        if self.protocol == paho.MQTTv5 and len(packet) > 2 and packet[2] == _TOO_LARGE:
            packet[2] = _INVALID
        code: MQTTErrorCode = super()._handle_pubackcomp(cmd)
        return code


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


def new_client(client_id: str, v5: bool) -> Client:
    """A client for one connection; when that ends, the client has served."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv5 if v5 else paho.MQTTv311,
        clean_session=None if v5 else False,
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(WINDOW)
    client.max_queued_messages_set(2 * WINDOW)
    return client


def refusal(code: ReasonCode) -> str:
    """Why the broker refuses a connection and what to do, as one sentence for a person."""
    if code.value in _NO_LOGIN:
        return f"the broker refuses the login ({code}); check [mqtt] username and the password"
    if code.value in _NO_V5:
        return 'the broker does not speak this version of MQTT; set [mqtt] protocol = "3.1.1"'
    return f"the broker refuses the connection ({code})"


def connect_options(v5: bool) -> dict[str, Any]:
    """What CONNECT says beside host, port and keepalive."""
    if not v5:
        return {}
    properties = _properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.MaximumPacketSize = MAX_DESCRIPTION_BYTES + _HEADER_BYTES
    return {"properties": properties, "clean_start": False}


def will_properties(delay_s: int) -> Properties:
    """The broker waits so long before it publishes the will."""
    properties = _properties(PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = delay_s
    return properties


@functools.cache
def publish_properties(is_json: bool, expiry_s: int | None) -> Properties:
    """What PUBLISH says of a payload."""
    properties = _PackedProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if is_json:
        properties.PayloadFormatIndicator = 1
        properties.ContentType = "application/json"
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties


def listen(
    client: Client,
    note: Callable[[Notice], None],
    ended: Event,
    filters: Sequence[str],
    why: Callable[[BaseException | None], str | None],
    large: Collection[str] = (),
) -> None:
    """Turns paho's callbacks into notices. All of this runs in the network thread.

    Args:
        filters: subscribed to on each good connection, with retain-as-published, so that what lay there is known.
        why: why there is no connection, in words, from what was raised, or from what is known without.
        large: topics on which a payload may have up to MAX_DESCRIPTION_BYTES.
    """
    options = SubscribeOptions(qos=1, retainAsPublished=True)
    good = Event()

    @_guarded
    def on_connect(_client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            note(Disconnected(refusal(code)))
            client.disconnect()
            return
        if ended.is_set():
            # Stopped while it was connecting: paho finishes that first. `online` may lie there from the last one.
            client.leave()
            return
        good.set()
        if filters:
            if client.protocol == paho.MQTTv5:
                client.subscribe([(name, options) for name in filters])
            else:
                client.subscribe([(name, 1) for name in filters])
        maximum = getattr(properties, "ReceiveMaximum", None) or WINDOW
        note(Connected(window=min(WINDOW, int(maximum))))

    @_guarded
    def on_connect_fail(client: paho.Client, _data: Any) -> None:
        note(Disconnected(why(sys.exc_info()[1]) or "the broker cannot be reached"))
        # Without this the thread would go on trying by itself, without jitter.
        client.disconnect()
        ended.set()

    @_guarded
    def on_disconnect(_client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        text = None if good.is_set() else why(None)
        note(Disconnected(text or f"the connection to the broker ended: {code}", taken=good.is_set()))
        ended.set()

    client.on_connect = on_connect
    client.on_connect_fail = on_connect_fail
    client.on_disconnect = on_disconnect
    _listen_to_messages(client, note, large)


def _listen_to_messages(client: paho.Client, note: Callable[[Notice], None], large: Collection[str]) -> None:
    @_guarded
    def on_publish(_client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        refused = str(code) if code.is_failure else None
        if code.value == _INVALID:
            refused = "payload format invalid, or packet too large"
        note(Acknowledged(mid, refused, for_good=code.value in _FOR_GOOD))

    @_guarded
    def on_message(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        # paho acknowledges when this returns: before anything is done about it, so that it is not done twice.
        most = MAX_DESCRIPTION_BYTES if message.topic in large else MAX_PAYLOAD_BYTES
        if len(message.payload) > most:
            return
        note(Received(message.topic, bytes(message.payload), message.retain))

    @_guarded
    def on_socket_open(_client: paho.Client, _data: Any, opened: Any) -> None:
        # paho does not. Behind a message that the broker does not answer (health) the kernels of both sides would
        # wait for each other, and the next event come 40 ms later.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_socket_open = on_socket_open
    client.on_publish = on_publish
    client.on_message = on_message


def _properties(packet: int) -> Properties:
    properties: Properties = Properties(packet)  # type: ignore[no-untyped-call]
    return properties


def _guarded(callback: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(callback)
    def guarded(*args: Any) -> None:
        try:
            callback(*args)
        except Exception:
            log.exception("%s failed; the connection may not notice what it should", callback.__name__)

    return guarded
