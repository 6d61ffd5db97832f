"""What may be asked of the device over MQTT: six commands and three settings, read strictly.

Law: whatever bytes come in, the result is a Request, a Setting, a Refusal or None, never an exception; nothing is
carried out here. No value in any of them can name a file, a URL or a program: there are numbers, three words, the names
of configured rules, the name and the version of a model, and a `transaction` that is echoed and nothing else. A refusal
is one sentence (what was expected, what was found, what to do) and shows at most 80 characters of what came in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from edged.core import wire
from edged.core.body import MAX_SAFE_INTEGER, Body, Transaction, read, shown, shown_bytes, shown_key
from edged.core.settings import MAX_THRESHOLD, MIN_THRESHOLD
from edged.core.types import Message

MIN_PAUSE_S, MAX_PAUSE_S = 1, 86400
DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,20})?")
MODEL_NAME, MODEL_VERSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}"), re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}")
INSTALL = b"install"
UNKNOWN = "unknown"
"""What is answered for a command that does not exist: no topic is ever made of what came in."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""

    command: ClassVar[str] = "ping"
    transaction: Transaction = None


@dataclass(frozen=True, slots=True)
class Replay:
    """Send what is kept from that number on once more."""

    command: ClassVar[str] = "replay"
    from_seq: int
    transaction: Transaction = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Close the camera for so long."""

    command: ClassVar[str] = "pause"
    seconds: float
    transaction: Transaction = None


@dataclass(frozen=True, slots=True)
class Resume:
    """End a pause."""

    command: ClassVar[str] = "resume"
    transaction: Transaction = None


@dataclass(frozen=True, slots=True)
class Restart:
    """End the process, to be started again."""

    command: ClassVar[str] = "restart"
    transaction: Transaction = None


@dataclass(frozen=True, slots=True)
class UseModel:
    """Let another version of the model take over; `version` None: the newest."""

    command: ClassVar[str] = "model"
    name: str
    version: str | None
    transaction: Transaction = None


@dataclass(frozen=True, slots=True)
class Install:
    """Home Assistant's word for: let the newest version of the model take over."""

    command: ClassVar[str] = "update"
    transaction: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class SetEnabled:
    """Switch detection."""

    command: ClassVar[str] = "enabled"
    transaction: ClassVar[None] = None
    on: bool


@dataclass(frozen=True, slots=True)
class SetThreshold:
    """Give a rule another score_threshold, of at most four places."""

    command: ClassVar[str] = "threshold"
    transaction: ClassVar[None] = None
    rule: str
    value: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is not done, and why.

    Attributes:
        command: the last level of the topic of the response: a command, `enabled`, `threshold`, `update` or `unknown`.
        error: one sentence.
        rule: for `threshold` the rule, where it exists: its value in force is to be published again.
    """

    command: str
    error: str
    transaction: Transaction = None
    rule: str | None = None


Request = Ping | Replay | Pause | Resume | Restart | UseModel
Setting = SetEnabled | SetThreshold | Install


def filters(topics: wire.Topics) -> tuple[str, ...]:
    """What to subscribe to."""
    return topics.request("+"), topics.enabled_set, topics.threshold_set("+"), topics.update_set


def is_request(topics: wire.Topics, topic: str) -> bool:
    """Whether something on this topic is a request, good or bad."""
    return _level(topics.request("+"), topic) is not None


def is_setting(topics: wire.Topics, topic: str) -> bool:
    """Whether something on this topic is a setting, good or bad."""
    return topic in (topics.enabled_set, topics.update_set) or _level(topics.threshold_set("+"), topic) is not None


def parse(
    topics: wire.Topics, rules: Collection[str], topic: str, payload: bytes, retained: bool
) -> Request | Setting | Refusal | None:
    """Reads one message.

    Args:
        rules: the names of the rules.
        retained: the message lay at the broker before it was asked for. It is not obeyed: a forgotten `restart` would
            be one at every connection.

    Returns:
        None for a retained message and for a topic of somebody else.
    """
    if retained:
        return None
    return parse_request(topics, topic, payload) or parse_setting(topics, rules, topic, payload)


def parse_request(topics: wire.Topics, topic: str, payload: bytes) -> Request | Refusal | None:
    """Reads a message on `D/request/<command>`; None where the topic is another."""
    command = _level(topics.request("+"), topic)
    if command is None:
        return None
    body = read(payload)
    if command not in _COMMANDS:
        known = ", ".join(_COMMANDS)
        return Refusal(UNKNOWN, f"expected one of {known}, found {shown(command)}; send one of those", body.transaction)
    known_keys, make = _COMMANDS[command]
    fault = body.fault or _unknown_key(command, body.values, known_keys)
    made = fault or make(body)
    return Refusal(command, made, body.transaction) if isinstance(made, str) else made


def parse_setting(topics: wire.Topics, rules: Collection[str], topic: str, payload: bytes) -> Setting | Refusal | None:
    """Reads a message on the `set` of a setting; None where the topic is another."""
    if topic == topics.update_set:
        if payload == INSTALL:
            return Install()
        return Refusal("update", f"expected the word install, found {shown_bytes(payload)}; send that or nothing")
    if topic == topics.enabled_set:
        if payload in (b"ON", b"OFF"):
            return SetEnabled(payload == b"ON")
        return Refusal("enabled", f"expected the word ON or OFF, found {shown_bytes(payload)}; send one of the two")
    rule = _level(topics.threshold_set("+"), topic)
    if rule is None:
        return None
    if rule not in rules:
        advice = "D/info lists the rules of this device"
        return Refusal("threshold", f"expected the name of a rule, found {shown(rule)}; {advice}")
    value = _decimal(payload)
    if value is None:
        expected = f"expected a decimal from {MIN_THRESHOLD:g} to {MAX_THRESHOLD:g}"
        error = f"{rule}: {expected}, found {shown_bytes(payload)}; send something like 0.65"
        return Refusal("threshold", error, rule=rule)
    return SetThreshold(rule, value)


def refused(what: Request | Setting | Refusal, error: str) -> Refusal:
    """The same as a refusal, for a reason that only the daemon knows."""
    rule = what.rule if isinstance(what, SetThreshold | Refusal) else None
    return Refusal(what.command, error, what.transaction, rule)


def too_many(what: Request | Refusal, limit: int, wait_s: float) -> Refusal:
    """The refusal of a request beyond the limit of `limit` a minute."""
    return refused(
        what, f"expected at most {limit} requests a minute, found more; nothing was done, wait {int(wait_s) + 1} s"
    )


def response(topics: wire.Topics, to: Request | Setting | Refusal, data: Mapping[str, Any] | None = None) -> Message:
    """The answer: an error to a Refusal, else ok with `data`."""
    error = to.error if isinstance(to, Refusal) else None
    return wire.response(topics, to.command, error=error, data=data, transaction=to.transaction)


def _level(filter_: str, topic: str) -> str | None:
    """What stands for the `+` of a filter; None where the topic does not match it."""
    before, after = filter_.rsplit("+", 1)
    level = topic[len(before) : len(topic) - len(after)]
    return level if topic == before + level + after and "/" not in level else None


def _unknown_key(command: str, values: Mapping[str, object], known: Collection[str]) -> str | None:
    allowed = (*known, "transaction")
    unknown = next((key for key in values if key not in allowed), None)
    if unknown is None:
        return None
    return f"{command}: expected no key but {' and '.join(allowed)}, found {shown(unknown)}; leave it out"


def _replay(body: Body) -> Request | str:
    value = body.values.get("from_seq")
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SAFE_INTEGER:
        return Replay(value, body.transaction)
    expected = f"expected a whole number from 1 to {MAX_SAFE_INTEGER}"
    return f"from_seq: {expected}, found {shown_key(body, 'from_seq')}; send the first seq that you miss"


def _pause(body: Body) -> Request | str:
    value = body.values.get("seconds")
    if isinstance(value, int | float) and not isinstance(value, bool) and MIN_PAUSE_S <= value <= MAX_PAUSE_S:
        return Pause(float(value), body.transaction)
    expected = f"expected a number from {MIN_PAUSE_S} to {MAX_PAUSE_S}"
    return f"seconds: {expected}, found {shown_key(body, 'seconds')}; for longer send OFF to D/enabled/set"


def _model(body: Body) -> Request | str:
    name, version = body.values.get("name"), body.values.get("version")
    if not isinstance(name, str) or not MODEL_NAME.fullmatch(name):
        return f"name: expected the name of a model, found {shown_key(body, 'name')}; D/info has that of this device"
    if version is None and "version" not in body.values:
        return UseModel(name, None, body.transaction)
    if isinstance(version, str) and MODEL_VERSION.fullmatch(version):
        return UseModel(name, version, body.transaction)
    found = shown_key(body, "version")
    return f"version: expected a version such as 1.2.0, found {found}; leave it out for the newest in the store"


_COMMANDS: Mapping[str, tuple[tuple[str, ...], Callable[[Body], Request | str]]] = {
    "ping": ((), lambda body: Ping(body.transaction)),
    "replay": (("from_seq",), _replay),
    "pause": (("seconds",), _pause),
    "resume": ((), lambda body: Resume(body.transaction)),
    "restart": ((), lambda body: Restart(body.transaction)),
    "model": (("name", "version"), _model),
}


def _decimal(payload: bytes) -> float | None:
    """0.01 to 1 without sign, exponent or space, to four places: what is in force is what is published."""
    text = payload[:80].decode(errors="replace")
    if not DECIMAL.fullmatch(text):
        return None
    value = float(text)
    return round(value, 4) if MIN_THRESHOLD <= value <= MAX_THRESHOLD else None
