"""Generated commands and settings: malformed, deep, binary, huge, valid; the same ones for the same seed."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.delivery import Subscriber
from tests.fakes import until

COMMANDS = ("ping", "replay", "pause", "resume", "restart", "model", "", "../../etc", "ping ", "é" * 40, "a" * 300)
VALUES: tuple[Any, ...] = (None, True, 0, -1, 1, 1e308, 10**400, "x" * 300, "\ud800", [], [[1]], {}, {"a": {}}, 2**63)

WORDS = (b"NaN", b"{", b'{"a":', b"\xff\xfe{}", b"\x00", b"null", b"[]", b'"restart"', b"ON", b"1")


def payload(chance: random.Random) -> bytes:
    """One body, rarely a good one; never one that restarts or pauses the device, since all of it has a wrong key."""
    kind = chance.randrange(10)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 4096))
    if kind == 1:
        return b"[" * chance.randrange(1, 4096)
    if kind == 2:
        depth = chance.randrange(1, 600)
        return b'{"a":' * depth + b"1" + b"}" * depth
    if kind == 3:
        return chance.choice(
            (b"NaN", b"{", b'{"a":', b"\xff\xfe{}", b"\x00", b"null", b"[]", b'"restart"', b"ON", b"1")
        )
    if kind == 4:
        return b'{"x":' + b" " * chance.choice((4000, 15_000, 40_000)) + b"1}"
    if kind == 5:
        return b'{"transaction":' + b"9" * chance.randrange(1, 4000) + b',"x":1}'
    keys = chance.sample(("seconds", "from_seq", "transaction", "file", "url", "name", "version", "é"), 3)
    return json.dumps({"x": 1, **{key: chance.choice(VALUES) for key in keys}}).encode()


def topic(chance: random.Random, root: str) -> str:
    """One of the topics that a device listens to, or beside them."""
    kind = chance.randrange(10)
    if kind < 6:
        return f"{root}/request/{chance.choice(COMMANDS)}"
    if kind == 6:
        return f"{root}/enabled/set"
    if kind == 7:
        return f"{root}/threshold/circle/set"
    return f"{root}/threshold/{chance.choice(COMMANDS[1:])}/set" if kind == 8 else f"{root}/request/ping/deeper"


def setting(chance: random.Random) -> bytes:
    """What may be sent to a setting: words that are nearly right."""
    words = (b"on", b"", b"OFF ", b"0", b"1.01", b"-1", b"nan", b"1e-1", b"0,5", b"0." + b"9" * 300, b"\xff")
    return chance.choice(words)


class Flood:
    """Someone who sends whatever comes to mind.

    Attributes:
        sent: messages so far.
    """

    def __init__(self, port: int, root: str, seed: int) -> None:
        self.sent = 0
        self._root, self._chance = root, random.Random(seed)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.max_inflight_messages_set(20)
        self._done = threading.Semaphore(200)
        self._client.on_publish = lambda *_: self._done.release()
        self._client.connect("127.0.0.1", port)

    def requests(self, count: int) -> None:
        """Requests on topics of commands alone, none of which is one."""
        for number in range(count):
            self._publish(f"{self._root}/request/{COMMANDS[number % 6]}", b'{"x":1}')

    def send(self, count: int) -> None:
        """Anything, as fast as the broker takes it; waits until it has all."""
        for _ in range(count):
            where = topic(self._chance, self._root)
            is_setting = where.endswith("/set") and self._chance.random() < 0.5
            self._publish(where, setting(self._chance) if is_setting else payload(self._chance))
        until(lambda: not self._client._out_messages, 120)

    def ping_until_answered(self, subscriber: Subscriber, timeout_s: float) -> bool:
        """Whether a ping is answered with ok within that time; asked for again each ten seconds."""
        stop_s = time.monotonic() + timeout_s
        while time.monotonic() < stop_s:
            self._publish(f"{self._root}/request/ping", b'{"transaction":"after"}')
            asked_s = time.monotonic()
            until(lambda since_s=asked_s: time.monotonic() - since_s > 10 or self._has_answer(subscriber), 20)
            if self._has_answer(subscriber):
                return True
        return False

    @staticmethod
    def _has_answer(subscriber: Subscriber) -> bool:
        answers = map(json.loads, list(subscriber.told.get("response/ping", ())))
        return any(one["status"] == "ok" and one["transaction"] == "after" for one in answers)

    def _publish(self, where: str, body: bytes) -> None:
        assert self._done.acquire(timeout=60)
        self.sent += 1
        self._client.publish(where, body, qos=1)

    def __enter__(self) -> Flood:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
