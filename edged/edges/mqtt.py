"""The broker: with `mqtt_client.py` the only door to paho (and `mqtt_subscriber.py`, for people who watch).

Law: nothing here decides what is said or in which order, and nothing here blocks the loop. paho's network thread only
appends to queues that the loop polls.

Each connection has a client of its own. paho's reconnect sends what it had in flight before anyone is asked, and so
could bring a stale state, or `online`, in front of the states that are true now; a new client has nothing to repeat.
"""

from __future__ import annotations

import functools
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paho.mqtt.client as paho

from edged.core.backoff import Backoff
from edged.core.types import Message
from edged.edges import mqtt_client
from edged.edges.tls import TlsContext, explain
from edged.ports import Clock, ConfigError, Connected, Disconnected, Notice, Received, RunError

WILL_DELAY_S = 10
ALIVE_CHECK_S = 5.0
HUNG_S, CONNECT_HUNG_S = 120.0, 300.0
"""A network thread turns every second. Only in looking up a name and connecting it may be for minutes: the resolver
asks several servers several times, each address and each step of TLS has five seconds."""
DEATHS_S = 600.0
"""A network thread that ends by itself is replaced; a second one within this time ends the process."""

_NOTICES = 256
"""The loop hands over at most a window of unacknowledged messages, so this is a bound that is never met."""
_RECEIVED = 64
"""What others send is their affair: in a flood the oldest are lost. Together at most 4 MiB, and 1 MiB of commands."""


@dataclass
class _Pulse:
    """What is known of one client's network thread, also after the client was given up.

    Attributes:
        missed: how many looks in a row found no turn finished. Looks and not seconds, so that a process that did not
            run for a minute, its threads with it, is not taken for one whose network thread hangs.
    """

    client: mqtt_client.Client
    turns: int = -1
    missed: int = 0

    def look(self) -> str | None:
        """Looks at it, every `ALIVE_CHECK_S`: the sentence that ends the process, None while it is well."""
        turns, self.turns = self.turns, self.client.turns
        self.missed = self.missed + 1 if turns == self.turns else 0
        limit_s = CONNECT_HUNG_S if self.client.connecting else HUNG_S
        if self.missed * ALIVE_CHECK_S < limit_s:
            return None
        where = "connecting to the broker" if self.client.connecting else "the network thread"
        return f"{where} has not come back for {limit_s:g} s: restarting"


class PahoBroker:
    """A connection to the broker that heals itself.

    Args:
        host, port: where the broker is; resolved anew at each try.
        client_id: also names the session; two daemons must not share it.
        protocol: "5", or "3.1.1" for brokers that know no better (no will delay, refusals are not told).
        will: published by the broker when the daemon is gone.
        username: None for a broker without login.
        password: read anew for each connection, so that a wrong one can be corrected while the daemon runs.
        tls: None for a plain connection.
        filters: topics to subscribe to.
        large: more of them, of which payloads may have up to 64 KiB and not 16.
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
        password: Callable[[], str | None],
        clock: Clock,
        tls: TlsContext | None = None,
        filters: Sequence[str] = (),
        large: Sequence[str] = (),
        will_delay_s: int = WILL_DELAY_S,
    ) -> None:
        self._host, self._port, self._keepalive_s = host, port, keepalive_s
        self._client_id, self._will, self._will_delay_s = client_id, will, will_delay_s
        self._username, self._password = username, password
        self._tls, self._filters, self._large = tls, (*large, *filters), frozenset(large)
        self._v5 = protocol == "5"
        self._clock = clock
        self._notices: deque[tuple[int, Notice]] = deque(maxlen=_NOTICES)
        self._received: deque[tuple[int, Received]] = deque(maxlen=_RECEIVED)
        self._backoff = Backoff(first_s=1.0, cap_s=60.0, decay_s=30.0)
        self._client: mqtt_client.Client | None = None
        self._pulses: list[_Pulse] = []
        self._died_s = float("-inf")
        self._generation = 0
        self._ended = threading.Event()
        self._retry_s: float | None = None
        self._check_s = 0.0

    def start(self) -> None:
        """Begins to connect; what becomes of it comes through `poll`."""
        self._connect()

    def poll(self) -> Notice | None:
        """The next thing that happened; also begins the next try when it is time."""
        for queue in (self._notices, self._received):
            while queue:
                generation, notice = queue.popleft()
                # A refused login comes twice, as a refusal and as the end of the connection; the first is told.
                if generation != self._generation or self._client is None:
                    continue
                if isinstance(notice, Connected):
                    self._backoff.worked(self._clock.monotonic())
                elif isinstance(notice, Disconnected):
                    self._lost()
                return notice
        now_s = self._clock.monotonic()
        if self._retry_s is not None and now_s >= self._retry_s:
            self._connect()
        elif now_s >= self._check_s:
            return self._check(now_s)
        return None

    def publish(self, message: Message) -> int | None:
        """Hands a message to the network thread; None when there is no connection to take it."""
        if self._client is None:
            return None
        is_json = message.payload.startswith(b"{")
        properties = mqtt_client.publish_properties(is_json, message.expiry_s) if self._v5 else None
        sent = self._client.publish(
            message.topic, message.payload, qos=message.qos, retain=message.retain, properties=properties
        )
        return sent.mid if sent.rc == paho.MQTT_ERR_SUCCESS else None

    def drop(self, text: str, wait_s: float = 0.0) -> None:
        """Gives the present connection up and tries anew, not before `wait_s`."""
        client = self._client
        if client is not None:
            self._backoff.at_least(wait_s)
            self._notices.append((self._generation, Disconnected(text)))
            # The network thread may hang in a dead connection: it is asked to end and not waited for.
            client.leave()
        elif self._retry_s is not None:
            self._retry_s = max(self._retry_s, self._clock.monotonic() + wait_s)

    def stop(self, reason_code: int) -> None:
        """Disconnects and waits a moment for the network thread.

        Args:
            reason_code: with 0x04 the broker publishes the will, with MQTT 3.1.1 too.
        """
        self._retry_s, self._check_s = None, float("inf")
        client, self._client = self._client, None
        if client is None:
            return
        if reason_code == mqtt_client.DISCONNECT_WITH_WILL:
            client.leave()
        else:
            client.disconnect()
        self._ended.wait(mqtt_client.STOP_WAIT_S)
        self._ended.set()

    def _lost(self) -> None:
        self._client = None
        self._ended.set()
        delay_s = self._backoff.failed(self._clock.monotonic())
        # Full jitter, so that twenty boards do not come back to a restarted broker in the same moment.
        self._retry_s = self._clock.monotonic() + random.uniform(0.2 * delay_s, delay_s)  # noqa: S311

    def _check(self, now_s: float) -> Notice | None:
        """Whether the network threads live and turn: nobody else would say so."""
        self._check_s = now_s + ALIVE_CHECK_S
        self._pulses = [one for one in self._pulses if one.client is self._client or one.client.is_alive]
        for pulse in self._pulses:
            reason = pulse.look()
            if reason is not None and pulse.client.is_alive:
                raise RunError(reason)
        if self._client is None or self._client.is_alive or self._notices:
            return None
        if now_s - self._died_s < DEATHS_S:
            raise RunError(f"the network thread has ended by itself twice within {DEATHS_S:g} s: restarting")
        self._died_s = now_s
        self._client.abandon()
        self._lost()
        return Disconnected("the network thread has ended by itself")

    def _connect(self) -> None:
        self._retry_s = None
        self._generation += 1
        self._ended = threading.Event()
        self._check_s = self._clock.monotonic() + ALIVE_CHECK_S
        client = mqtt_client.new_client(self._client_id, self._v5)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        delay = mqtt_client.will_properties(self._will_delay_s) if self._v5 else None
        client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain, properties=delay)
        note = functools.partial(self._note, self._generation)
        mqtt_client.listen(client, note, self._ended, self._filters, self._why, self._large)
        self._client = client
        if self._username is not None:
            try:
                client.username_pw_set(self._username, self._password())
            except ConfigError as error:
                note(Disconnected(str(error)))
                return
        self._pulses.append(_Pulse(client))
        client.connect_async(self._host, self._port, self._keepalive_s, **mqtt_client.connect_options(self._v5))
        client.loop_start()

    def _why(self, error: BaseException | None) -> str | None:
        """Why there is no connection, in words; None where neither `error` nor TLS says anything."""
        if error is None and self._tls is not None:
            # In TLS 1.3 the broker says only after the handshake what it misses, and paho keeps that to itself.
            error = self._tls.trouble
        return None if error is None else explain(error, self._clock.is_synced())

    def _note(self, generation: int, notice: Notice) -> None:
        if isinstance(notice, Received):
            self._received.append((generation, notice))
        else:
            self._notices.append((generation, notice))
