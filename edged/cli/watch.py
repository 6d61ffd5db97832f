"""`edged watch`: what devices say, as it comes, for a person or for a pipe."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from edged.cli import FAILED
from edged.cli.run import add_config_argument, lent

FIGURES_EVERY_S = 55.0
"""A little less than the minute between two health messages, so that none is skipped for being early."""

MAX_REMEMBERED = 10_000
MAX_TEXT = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_config_argument(parser)
    parser.add_argument("--all", action="store_true", help="every device below the topic prefix")
    parser.add_argument("--json", action="store_true", help="every message as a JSON line on stdout")


def execute(args: argparse.Namespace) -> int:
    """Shows until a signal; 1 only when the broker never let it listen."""
    from edged import watching
    from edged.config import load

    stop = threading.Event()

    def end(number: int, _frame: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    # What others write may not be made for this terminal.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    config = load(args.config, lent(args))
    topics = watching.watched(config, args.all)

    def changed(text: str | None) -> None:
        word = f"listening to {topics}" if text is None else f"{text}; trying again"
        print(f"edged watch: {word}", file=sys.stderr, flush=True)

    show = print_json if args.json else Screen(config.mqtt.topic_prefix).message
    return 0 if watching.watch(config, args.all, stop, show, changed) else FAILED


def print_json(topic: str, payload: bytes, retained: bool) -> None:
    """One message as one line: an object where it is one, else its text."""
    print(json_line(topic, payload, retained), flush=True)


def json_line(topic: str, payload: bytes, retained: bool) -> str:
    """The line; `payload` is an object where the message is a JSON object, else its text, ASCII alone either way."""
    text = payload.decode(errors="replace")
    if text.startswith("{"):
        try:
            return json.dumps({"topic": topic, "retained": retained, "payload": json.loads(text)}, allow_nan=False)
        except (ValueError, RecursionError):
            pass  # JSON of others: not JSON after all, or none that can be written again
    return json.dumps({"topic": topic, "retained": retained, "payload": text})


class Screen:
    """What a person gets to see: a line a change, figures once a minute.

    Args:
        prefix: what topics begin with, before the device.
        say: gets each line.
        now: the local time.
    """

    def __init__(
        self,
        prefix: str,
        say: Callable[[str], None] = lambda line: print(line, flush=True),
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._prefix, self._say, self._now = prefix, say, now
        self._shown: dict[str, str] = {}
        self._problems: dict[str, dict[str, str]] = {}
        self._figures_at: dict[str, datetime] = {}

    def message(self, topic: str, payload: bytes, _retained: bool) -> None:
        """Shows what is new in a message; one that is not what edged sends gets a line that says so."""
        device, _, rest = topic.removeprefix(f"{self._prefix}/").partition("/")
        kind, _, name = rest.partition("/")
        if kind not in (*_READERS, "health") or rest.endswith("/set"):
            return
        for memory in (self._shown, self._problems, self._figures_at):
            if len(memory) > MAX_REMEMBERED:
                memory.clear()
        try:
            if kind == "health":
                self._health(device, json.loads(payload))
            else:
                self._line(device, topic, _READERS[kind](name, payload), _lasting(kind))
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
            found = f"{rest}: found {len(payload)} bytes that are not what edged sends"
            self._line(device, topic, (None, found if payload else f"{rest}: cleared"), True)

    def _line(self, device: str, topic: str, found: tuple[str | None, str], once: bool) -> None:
        since, text = found
        if once and self._shown.get(topic) == text:
            return
        self._shown[topic] = text
        self._say(f"{self._time(since)}  {_plain(device)}  {_plain(text)}")

    def _health(self, device: str, health: Mapping[str, Any]) -> None:
        problems = {str(one["code"]): str(one["text"]) for one in health["problems"]}
        figures = _figures(health)
        known = self._problems.get(device, {})
        for code, text in problems.items():
            if known.get(code) != text:
                self._say(f"{self._time(None)}  {_plain(device)}  problem {_plain(code)}: {_plain(text)}")
        for code in known.keys() - problems.keys():
            self._say(f"{self._time(None)}  {_plain(device)}  no longer: {_plain(code)}")
        self._problems[device] = problems
        last = self._figures_at.get(device)
        if last is None or (self._now() - last).total_seconds() >= FIGURES_EVERY_S:
            self._figures_at[device] = self._now()
            self._say(f"{self._time(None)}  {_plain(device)}  {_plain(figures)}")

    def _time(self, iso: str | None) -> str:
        """A moment in local time, with its day where that is not today; now where it is none."""
        now = self._now()
        moment = now
        if iso is not None:
            try:
                moment = datetime.fromisoformat(iso).astimezone(now.tzinfo)
            except (ValueError, OverflowError, OSError):
                moment = now
        return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _availability(_name: str, payload: bytes) -> tuple[str | None, str]:
    if payload not in (b"online", b"offline"):
        raise ValueError
    return None, payload.decode()


def _pipeline(_name: str, payload: bytes) -> tuple[str | None, str]:
    found = json.loads(payload)
    reason = f" ({found['reason']})" if found["reason"] else ""
    return found["since"], f"pipeline {found['state']}{reason}"


def _state(name: str, payload: bytes) -> tuple[str | None, str]:
    found = json.loads(payload)
    score = "" if found["score"] is None else f", score {found['score']:.2f}"
    return found["since"], f"{name} is {found['state']}{score}{_unsynced(found)}"


def _event(name: str, payload: bytes) -> tuple[str | None, str]:
    found = json.loads(payload)
    if found["event_type"] == "end":
        end = f" after {found['duration_s']:.1f} s ({found['reason']}), peak {found['peak_score']:.2f}"
    else:
        end = "" if found["score"] is None else f", score {found['score']:.2f}"
    return found["time"], f"{name}: {found['event_type']}{end}{_unsynced(found)}"


def _late(name: str, payload: bytes) -> tuple[str | None, str]:
    since, text = _event(name, payload)
    return since, f"late: {text}"


def _info(_name: str, payload: bytes) -> tuple[str | None, str]:
    found = json.loads(payload)
    rules = ", ".join(str(rule["name"]) for rule in found["rules"])
    return None, f"edged {found['version']}, model {_model(found)}, rules: {rules}"


def _model(info: Mapping[str, Any]) -> str:
    """What runs, and how it stands with the version that runs or was tried."""
    runs, told = info["model"], info["activation"]
    other = "" if told["version"] == runs["version"] else f"{told['version']} "
    before = f", before it {told['previous']}" if told["previous"] not in (None, runs["version"]) else ""
    reason = f": {told['reason']}" if told["reason"] else ""
    return f"{runs['name']} {runs['version']} ({other}{str(told['state']).replace('_', ' ')}{before}{reason})"


def _setting(word: str) -> Callable[[str, bytes], tuple[str | None, str]]:
    def read(name: str, payload: bytes) -> tuple[str | None, str]:
        return None, f"{word}{f' of {name}' if name else ''}: {payload.decode()}"

    return read


def _response(name: str, payload: bytes) -> tuple[str | None, str]:
    found = json.loads(payload)
    error = f" ({found['error']})" if found.get("error") else ""
    return None, f"answer to {name}: {found['status']}{error}"


_READERS: Mapping[str, Callable[[str, bytes], tuple[str | None, str]]] = {
    "availability": _availability,
    "pipeline": _pipeline,
    "state": _state,
    "event": _event,
    "backlog": _late,
    "info": _info,
    "enabled": _setting("detection"),
    "threshold": _setting("threshold"),
    "response": _response,
}
"""Level below the device -> (the moment it tells of, its text). What cannot be read raises."""


def _lasting(kind: str) -> bool:
    """Whether a topic holds what is true now, so that the same again is no news."""
    return kind not in ("event", "backlog", "response")


def _figures(health: Mapping[str, Any]) -> str:
    parts = [
        (health["fps"], "{:.1f} fps"),
        (health["invoke_ms"]["p50"], "{:.1f} ms an invoke"),
        (health["outbox"]["rows"], "{:d} waiting"),
        (health["outbox"]["dropped"] or None, "{:d} dropped"),
        (health["outbox"].get("set_aside") or None, "{:d} refused for good"),
        (health["soc_temp_c"], "{:.0f} °C"),
        ("under-voltage" if health["undervoltage"] else None, "{}"),
        (None if health["clock_synced"] else "clock not set", "{}"),
    ]
    return "health: " + ", ".join(form.format(value) for value, form in parts if value is not None)


def _unsynced(found: Mapping[str, Any]) -> str:
    return " (the clock was not set)" if found["clock"] == "unsynced" else ""


def _plain(text: str) -> str:
    """Text of others for a terminal: one line, no control characters, not endless."""
    shown = "".join(one if one.isprintable() else "�" for one in text[:MAX_TEXT])
    return shown if len(text) <= MAX_TEXT else f"{shown}…"
