"""The published schemas and the payloads that `core/wire.py` makes say the same, key by key and word by word."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest

from edged.core import types, wire
from edged.core.activation import Phase, Record
from edged.core.problems import Problem
from edged.core.settings import Settings
from edged.core.stats import Percentiles
from edged.core.trigger import Trigger
from edged.core.types import Event, InputSpec, Message, ModelSpec, Quantization, Rule, TensorSpec, WallTime
from tests.fakes import condition

NAMES = ("event", "health", "info", "pipeline", "request", "response", "state", "update")
ID = "01JD9Z6S3V5K7M1N3P5Q7R9T0W"
BOOT_ID = "3b9c4d0e-6c0b-4b52-9d8a-6d6f0a9b1c2d"
TOPICS = wire.Topics("edged", "porch")
NOW = WallTime(1_795_341_600.123, "synced")
EARLY = WallTime(0.0, "unsynced")
LATE = WallTime(253_402_300_799.0, "corrected")  # the last second of the year 9999
RULE = Rule("cat", "Cat on the porch", "cat", "full", 0.6, 0.4, 0.5, 3.0, 0.0)
EXTREME_RULE = Rule("0" * 32, "日" * 100, "tabby, tabby cat", "a-_", 1.0, 0.0, 0.0, 86400.0, 86400.0)
MODEL = ModelSpec(
    name="tiny-int8",
    version="1.0.0",
    sha256="0123456789abcdef" * 4,
    labels=("cat", "dog"),
    groups={},
    input=InputSpec("rgb", "stretch", (127.0,), (128.0,)),
    input_tensor=TensorSpec((1, 8, 8, 3), "int8", Quantization(1.0, 0)),
    output_tensor=TensorSpec((1, 2), "int8", Quantization(1.0, 0)),
    activation="softmax",
    background=None,
)
RECORD = Record("settled", "tiny-int8", "1.0.0", None, None, NOW)
FAILURE = Record("rolled_back", "tiny-int8", "2.0.0", "1.0.0", "\x00" * 10_000, LATE)
START = Event(
    id=ID,
    seq=1,
    log=ID,
    boot_id=BOOT_ID,
    event_type="start",
    rule=RULE.name,
    label=RULE.label,
    region=RULE.region,
    score=0.91,
    peak_score=0.91,
    time=NOW,
    start_time=NOW,
    duration_s=None,
    reason=None,
    t_s=10.0,
    start_t_s=10.0,
    frame_age_ms=41,
    model="tiny-int8@01234567",
)


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files("edged") / "schema" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def ending(reason: str, score: float | None = None) -> Event:
    return replace(
        START,
        seq=2**53,
        event_type="end",
        score=score,
        peak_score=1.0,
        duration_s=10.0,
        reason=reason,
        frame_age_ms=None,
        time=LATE,
        start_time=EARLY,
    )


def health(**changes: Any) -> Message:
    nothing = {
        "rows": 0,
        "bytes": None,
        "oldest_s": None,
        "dropped": 0,
        "set_aside": 0,
        "first_seq": None,
        "last_seq": None,
    }
    figures: dict[str, Any] = {
        "fps": None,
        "frames": 0,
        "drops": 0,
        "damaged": 0,
        "invoke_ms": None,
        "frame_age_ms": None,
        "outbox": nothing,
        "requests_dropped": 0,
        "rss_mb": None,
        "condition": condition(),
        "clock_synced": False,
        "problems": [],
    }
    return wire.health(TOPICS, **{**figures, **changes})


def info(**changes: Any) -> Message:
    settings = {
        "fps": 10.0,
        "width_px": 640,
        "height_px": 480,
        "threads": 1,
        "runtime": "none 1.0",
        "protocol": "5",
        "sources": Settings([RULE]).sources(),
    }
    description: dict[str, Any] = {
        "version": "0.1.0",
        "board": "0123456789abcdef",
        "boot_id": BOOT_ID,
        "log": ID,
        "last_exit": None,
        "model": MODEL,
        "activation": RECORD,
        "rules": [RULE],
        "settings": settings,
    }
    return wire.info(TOPICS, **{**description, **changes})


def messages() -> Iterator[tuple[str, Message]]:
    """(schema, message): every payload that can be made, with and without what may be missing."""
    for event in (START, *(ending(reason) for reason in words(schema("event"), "reason")), ending("gone", 0.0)):
        yield "event", wire.event(TOPICS, event, late=False)
        yield "event", wire.event(TOPICS, event, late=True)
    for state in get_args(types.PipelineState):
        yield "pipeline", wire.pipeline(TOPICS, state, None, EARLY)
        yield "pipeline", wire.pipeline(TOPICS, state, "a sentence", LATE)
    for value in get_args(types.State):
        yield "state", wire.state(TOPICS, "cat", value, None, NOW, None, None)
        yield "state", wire.state(TOPICS, "cat", value, 1.0, LATE, 1, ID)
    yield "response", wire.response(TOPICS, "ping")
    yield "response", wire.response(TOPICS, "replay", data={"first_seq": 1, "last_seq": 2, "count": 2}, transaction=7)
    yield "response", wire.response(TOPICS, "unknown", error="\x00" * 10_000, transaction="\x00" * 128)
    yield "info", info()
    yield "info", info(last_exit={"code": None, "reason": "killed"}, rules=[EXTREME_RULE] * 32)
    yield "info", info(last_exit={"code": 1, "reason": "the camera's driver has not returned"}, boot_id="unknown")
    for phase in get_args(Phase):
        yield "info", info(activation=replace(FAILURE, phase=phase))
        yield "update", wire.update(TOPICS, replace(FAILURE, phase=phase), "3.0.0")
    yield "health", health()
    everything = Problem("camera_lost", "no picture", 1.0)
    yield (
        "health",
        health(
            fps=119.999,
            frames=2**53,
            drops=1,
            invoke_ms=Percentiles(0.0, 9.7, 1e6),
            frame_age_ms=0,
            outbox={
                "rows": 1000,
                "bytes": 1,
                "oldest_s": 0.0,
                "dropped": 7,
                "set_aside": 2,
                "first_seq": 1,
                "last_seq": 1001,
            },
            rss_mb=99.5,
            condition=condition(
                anonymous_mb=53.0,
                begun_mb=50.0,
                memory_limit_mb=242.0,
                memory_cgroup=False,
                disk_free_mb=0.0,
                soc_temp_c=-40.0,
                undervoltage=True,
                throttled=False,
                unsynced_s=7.0,
            ),
            clock_synced=True,
            problems=[(replace(everything, code=code), NOW) for code in wire.PROBLEM_CODES],
        ),
    )
    endless = [(Problem(code, '"' * 10_000, 1.0), LATE) for code in wire.PROBLEM_CODES]
    yield "health", health(frames=2**53, drops=2**53, invoke_ms=Percentiles(1e6, 1e6, 1e6), problems=endless)


def words(of: dict[str, Any], key: str) -> list[str]:
    """The known words of a property that allows others, too."""
    known: list[str] = of["properties"][key]["anyOf"][0]["enum"]
    return known


def objects(of: dict[str, Any], value: Any, at: str = "") -> Iterator[tuple[str, set[str], set[str], set[str]]]:
    """(place, keys of the value, keys of the schema, required keys) of every object inside."""
    if isinstance(value, dict) and "properties" in of:
        yield at, set(value), set(of["properties"]), set(of["required"])
        for key, inner in value.items():
            yield from objects(of["properties"].get(key, {}), inner, f"{at}.{key}")
    if isinstance(value, list):
        for inner in value:
            yield from objects(of.get("items", {}), inner, f"{at}[]")


def properties(of: dict[str, Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of a schema, nested ones included."""
    for key, inner in of.get("properties", {}).items():
        yield f"{at}.{key}", inner
        yield from properties(inner, f"{at}.{key}")
        yield from properties(inner.get("items", {}), f"{at}.{key}[]")


MESSAGES = list(messages())
each_message = pytest.mark.parametrize(("name", "message"), MESSAGES)


def test_schemas_are_package_data() -> None:
    found = {path.name for path in (files("edged") / "schema").iterdir() if path.name.endswith(".json")}
    assert found == {f"{name}.json" for name in (*NAMES, "doctor")}  # that one is no payload, see tests/core


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_valid_and_describes_every_property(name: str) -> None:
    of = schema(name)
    jsonschema.Draft202012Validator.check_schema(of)
    assert of["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert of["$id"] == f"urn:edged:schema:{name}:{wire.SCHEMA}"
    assert [place for place, inner in properties(of, name) if not inner.get("description")] == []


@each_message
def test_payload_is_valid_and_has_the_keys_of_its_schema(name: str, message: Message) -> None:
    of, payload = schema(name), json.loads(message.payload)
    jsonschema.Draft202012Validator(of).validate(payload)
    for place, given, known, required in objects(of, payload):
        assert given == known == required, place


def test_payloads_meet_every_object_of_the_schemas() -> None:
    met = {
        (name, place) for name, message in MESSAGES for place, *_ in objects(schema(name), json.loads(message.payload))
    }
    described = {
        (name, place.removeprefix(name) + ("[]" if "items" in inner else ""))
        for name in NAMES
        for place, inner in properties(schema(name), name)
        if "properties" in inner or "properties" in inner.get("items", {})
    }
    assert described <= met


@each_message
def test_a_newer_minor_version_is_still_valid(name: str, message: Message) -> None:
    """Within a version keys and words are added: the schema that was published must allow them."""
    of = schema(name)
    payload = {**json.loads(message.payload), "a_new_key": 1}
    for key, inner in of["properties"].items():
        if "enum" in inner.get("anyOf", [{}])[0]:
            payload[key] = "a_new_word"
    jsonschema.Draft202012Validator(of).validate(payload)


@pytest.mark.parametrize(
    ("name", "key", "wrong"),
    [
        ("event", "score", 1.01),
        ("event", "schema", 2),
        ("event", "seq", 0),
        ("event", "seq", None),
        ("event", "id", "not a ulid"),
        ("event", "time", "2026-11-22T10:00:00Z"),
        ("event", "reason", "a sentence with spaces"),
        ("event", "label", None),
        ("state", "state", None),
        ("pipeline", "state", ""),
        ("health", "fps", "10"),
        ("health", "problems", None),
        ("info", "rules", [{}]),
    ],
)
def test_schema_refuses(name: str, key: str, wrong: object) -> None:
    payload = json.loads(next(message.payload for of, message in MESSAGES if of == name))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema(name)).validate({**payload, key: wrong})


def test_words_are_those_of_the_code() -> None:
    event, pipeline, state = schema("event"), schema("pipeline"), schema("state")
    assert words(event, "event_type") == list(get_args(types.EventType))
    assert words(pipeline, "state") == list(get_args(types.PipelineState))
    assert words(state, "state") == list(get_args(types.State))
    for of in (event, pipeline, state):
        assert words(of, "clock") == list(get_args(types.ClockQuality))


def test_states_of_an_activation_are_those_of_the_code() -> None:
    assert words(schema("info")["properties"]["activation"], "state") == list(get_args(Phase))


def test_problem_codes_are_those_of_the_code() -> None:
    codes = schema("health")["properties"]["problems"]["items"]["properties"]["code"]["anyOf"][0]["enum"]
    assert codes == list(wire.PROBLEM_CODES)


def test_the_daemon_reports_known_problems_only() -> None:
    """Every literal code that the code hands to a `Problems`."""
    package = Path(wire.__file__).parents[1]
    reported = {
        call.args[0].value
        for path in package.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "set"
        if ast.unparse(call.func.value).endswith("problems") and isinstance(call.args[0], ast.Constant)
    }
    assert "broker_lost" in reported
    assert reported <= set(wire.PROBLEM_CODES)


def test_reasons_are_those_of_the_code() -> None:
    """`gone` from the decision itself, the words of `Blind`, and what else `Decision` documents."""
    reasons = words(schema("event"), "reason")
    blind = get_args(get_type_hints(types.Blind)["reason"])
    assert {"gone", "shutdown", *blind} <= set(reasons)
    assert types.Decision.__doc__ is not None
    documented = types.Decision.__doc__.replace("\n", " ")
    assert [reason for reason in reasons if reason not in documented] == []


def test_a_decided_reason_is_a_known_one() -> None:
    trigger = Trigger(replace(RULE, delay_on_s=0.0, delay_off_s=0.0))
    assert trigger.update(0.0, 1.0) is not None
    gone = trigger.update(1.0, 0.0)
    assert gone is not None
    assert gone.reason in words(schema("event"), "reason")


def test_availability_is_plain_words() -> None:
    """No schema: the payload is one of two words and no JSON."""
    assert wire.availability(TOPICS, wire.ONLINE).payload == b"online"
    assert wire.availability(TOPICS, wire.OFFLINE).payload == b"offline"


@each_message
def test_payloads_are_small(name: str, message: Message) -> None:
    assert len(message.payload) <= (65536 if name == "info" else 4096)
