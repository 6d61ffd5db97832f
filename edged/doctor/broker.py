"""The broker: one connection with a random name and no will. Nothing that is published here stays or means anything.

What is published is one empty, retained message on `D/response/doctor`: for a broker the order to keep nothing there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping

from edged import watching
from edged.config import Config
from edged.core import homeassistant, wire
from edged.core.findings import Finding, ok, problem, trouble, unavailable, warning
from edged.doctor.subject import Subject
from edged.edges import addresses, board

ANSWER_S = 8.0
ADVICE = "check [mqtt] host and port, and that the broker runs and lets this board in"
LOGIN = "check [mqtt] username and the password; docs/brokers.md shows how to set them"


class _Listening:
    """One connection, and what came over it.

    Attributes:
        retained: what lay on the topics that were asked for.
        trouble: what is wrong with the connection, in words; None for nothing.
    """

    def __init__(self, config: Config, topics: list[str]) -> None:
        self.retained: dict[str, bytes] = {}
        self.trouble: str | None = None
        self._answered = threading.Event()
        self._subscriber = watching.viewer(config, topics, self._heard, self._changed)

    def __enter__(self) -> _Listening:
        self._subscriber.start(0.0)
        if not self._answered.wait(ANSWER_S):
            self.trouble = f"the broker does not answer within {ANSWER_S:g} s"
        return self

    def __exit__(self, *_: object) -> None:
        self._subscriber.stop()

    def clear(self, topic: str) -> str | None:
        """Clears a topic: why that is refused, None where it is not. What is retained has come before the answer."""
        return self._subscriber.clear([topic], ANSWER_S).get(topic)

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:
        if retained:
            self.retained[topic] = payload

    def _changed(self, text: str | None) -> None:
        if not self._answered.is_set():  # the first word counts: it tries again by itself
            self.trouble = text
            self._answered.set()


def broker(subject: Subject, config: Config) -> Iterator[Finding]:
    """Whether the broker can be reached and lets this device in; what lies there of it."""
    mqtt = config.mqtt
    try:
        found = addresses.resolve(mqtt.host, mqtt.port)
    except addresses.UnknownName as error:
        todo = "check [mqtt] host; where the name ends in .local, install libnss-mdns or write the broker's address"
        yield problem("broker", f"{mqtt.host} does not resolve ({error})", todo)
        yield from _unknown("the broker was not found")
        return
    topics = wire.Topics(mqtt.topic_prefix, config.device.name)
    description = (
        homeassistant.removal(config.device.name, discovery_prefix=mqtt.discovery_prefix).topic
        if mqtt.discovery_prefix
        else None
    )
    asked = [topics.availability, topics.pipeline, topics.info, *([description] if description else [])]
    with _Listening(config, asked) as listening:
        if listening.trouble is not None:
            yield _refused(config, listening.trouble)
            yield from _unknown("there is no connection to the broker")
            return
        refused = listening.clear(topics.response("doctor"))
    at = "" if found == (mqtt.host,) else f" ({', '.join(found)})"
    how = "with TLS" if mqtt.tls else "without TLS"
    who = f"as {mqtt.username}" if mqtt.username else "without a login"
    yield ok("broker", f"{mqtt.host}{at}, port {mqtt.port}: connected {how}, {who}, MQTT {mqtt.protocol}")
    yield _publishing(config, topics, refused)
    yield _discovery(description, listening.retained)
    yield _device(topics, listening.retained, subject)


def _unknown(why: str) -> Iterator[Finding]:
    yield from (unavailable(check, why) for check in ("publishing", "discovery", "device"))


def _refused(config: Config, text: str) -> Finding:
    mqtt = config.mqtt
    if mqtt.username is not None and config.password_path() is None and "refuses the" in text:
        return unavailable(
            "broker",
            f"{mqtt.host} answers; the login was not tried: this user cannot see the password of {mqtt.username}",
            "run it with sudo; or name it: [mqtt] password_file, or a credential of the service (docs/brokers.md)",
        )
    return trouble("broker", f"{mqtt.host}, port {mqtt.port}: {text}", LOGIN if "refuses" in text else ADVICE)


def _publishing(config: Config, topics: wire.Topics, refused: str | None) -> Finding:
    if refused is not None:
        return problem(
            "publishing",
            f"the broker does not take what this login publishes below {topics.root} ({refused})",
            f"give it the right to write {topics.root}/#; docs/brokers.md has an access list",
        )
    if config.mqtt.protocol != "5":
        return unavailable("publishing", "with MQTT 3.1.1 a broker does not tell what it refuses", 'set protocol = "5"')
    return ok("publishing", f"the broker takes what is published below {topics.root}")


def _discovery(topic: str | None, retained: Mapping[str, bytes]) -> Finding:
    if topic is None:
        return ok("discovery", 'switched off (discovery_prefix = "")')
    if retained.get(topic):
        return ok("discovery", f"the description for Home Assistant lies on {topic}")
    return unavailable(
        "discovery", f"nothing is seen on {topic}: the daemon was never there, or this login may not read it"
    )


def _device(topics: wire.Topics, retained: Mapping[str, bytes], subject: Subject) -> Finding:
    """What the broker holds of the device itself."""
    info, pipeline = _object(retained.get(topics.info)), _object(retained.get(topics.pipeline))
    is_online = retained.get(topics.availability) == wire.ONLINE
    if topics.availability not in retained:
        return unavailable(
            "device", f"nothing is seen of it below {topics.root}: it was never there, or this login may not read"
        )
    if not is_online:
        return warning("device", "offline for the broker", "start it; where it runs, `edged watch` shows what it says")
    if info.get("board") not in (None, board.board_id(subject.root)):
        return problem(
            "device",
            f"another board is online under the name {topics.root}",
            "give each board its own [device] name",
        )
    state, reason = str(pipeline.get("state", "unknown")), pipeline.get("reason")
    if state in ("running", "starting"):
        return ok("device", f"online, {state}{_last_end(info.get('last_exit'))}")
    return warning("device", f"online, {state}{f': {reason}' if reason else ''}", "see the line camera")


def _last_end(last_exit: object) -> str:
    """How the run before this one ended, where that was no clean end."""
    if not isinstance(last_exit, dict) or last_exit.get("code") == 0:
        return ""
    return f"; the run before ended so: {last_exit.get('reason')}"


def _object(payload: bytes | None) -> Mapping[str, object]:
    try:
        found = json.loads(payload or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
