"""Commands and settings: what is obeyed, what is refused and how, and that nothing that comes in does any harm."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core import commands, wire
from edged.core.commands import (
    Install,
    Pause,
    Ping,
    Refusal,
    Replay,
    Request,
    Restart,
    Resume,
    SetEnabled,
    SetThreshold,
    Setting,
    UseModel,
    parse,
    response,
)

TOPICS = wire.Topics("home/edged", "porch")
RULES = ("cat", "dog_2")
PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
BIGGEST = 2**53 - 1
DEEP = b"[" * 100_000


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files("edged") / "schema" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


RESPONSES = jsonschema.Draft202012Validator(schema("response"))
REQUESTS = schema("request")


def asked(command: str, payload: bytes | str = b"", retained: bool = False) -> Request | Setting | Refusal | None:
    return parse(TOPICS, RULES, TOPICS.request(command), as_bytes(payload), retained)


def as_bytes(payload: bytes | str) -> bytes:
    return payload if isinstance(payload, bytes) else payload.encode()


def answered(found: Request | Setting | Refusal, **data: Any) -> dict[str, Any]:
    """The body of the response, which must be valid and small."""
    message = response(TOPICS, found, data or None)
    assert len(message.payload) <= 4096
    assert (message.qos, message.retain) == (1, False)
    body: dict[str, Any] = json.loads(message.payload)
    RESPONSES.validate(body)
    assert list(body) == ["status", "data", "error", "transaction"]
    return body


# What is obeyed


@pytest.mark.parametrize(
    ("command", "payload", "request_"),
    [
        ("ping", "", Ping()),
        ("ping", "{}", Ping()),
        ("ping", ' {"transaction": "a"}\n', Ping("a")),
        ("ping", '{"transaction": -7}', Ping(-7)),
        ("ping", '{"transaction": ""}', Ping("")),
        ("ping", json.dumps({"transaction": "日" * 128}), Ping("日" * 128)),
        ("ping", json.dumps({"transaction": '[[[[[[[[[[{{{{"\\'}), Ping('[[[[[[[[[[{{{{"\\')),
        ("ping", json.dumps({"transaction": 'a"[[[[[[[[[['}), Ping('a"[[[[[[[[[[')),
        ("ping", f'{{"transaction": {BIGGEST}}}', Ping(BIGGEST)),
        ("replay", '{"from_seq": 1}', Replay(1)),
        ("replay", f'{{"from_seq": {BIGGEST}, "transaction": "t"}}', Replay(BIGGEST, "t")),
        ("pause", '{"seconds": 1}', Pause(1.0)),
        ("pause", '{"seconds": 0.15e2}', Pause(15.0)),
        ("pause", '{"transaction": 0, "seconds": 86400}', Pause(86400.0, 0)),
        ("resume", "{}", Resume()),
        ("restart", "", Restart()),
        ("model", '{"name": "garden.animals_2-x"}', UseModel("garden.animals_2-x", None)),
        ("model", '{"name": "x", "version": "1.0.0-rc.1+b_2", "transaction": 3}', UseModel("x", "1.0.0-rc.1+b_2", 3)),
    ],
)
def test_a_good_request(command: str, payload: str, request_: Request) -> None:
    found = asked(command, payload)
    assert found == request_
    assert type(found) is type(request_)
    assert answered(request_) == {
        "status": "ok",
        "data": None,
        "error": None,
        "transaction": request_.transaction,
    }
    assert response(TOPICS, request_).topic == f"home/edged/porch/response/{command}"


def test_a_response_carries_data() -> None:
    body = answered(Replay(7, "t"), first_seq=7, last_seq=9, count=3)
    assert body["data"] == {"first_seq": 7, "last_seq": 9, "count": 3}


@pytest.mark.parametrize(
    ("topic", "payload", "setting"),
    [
        (TOPICS.enabled_set, "ON", SetEnabled(True)),
        (TOPICS.enabled_set, "OFF", SetEnabled(False)),
        (TOPICS.threshold_set("cat"), "0.01", SetThreshold("cat", 0.01)),
        (TOPICS.threshold_set("cat"), "1", SetThreshold("cat", 1.0)),
        (TOPICS.threshold_set("cat"), "1.00", SetThreshold("cat", 1.0)),
        (TOPICS.threshold_set("dog_2"), "0.30000000000000004", SetThreshold("dog_2", 0.3)),
        (TOPICS.threshold_set("dog_2"), "000.65", SetThreshold("dog_2", 0.65)),
        (TOPICS.update_set, "install", Install()),
    ],
)
def test_a_good_setting(topic: str, payload: str, setting: Setting) -> None:
    assert parse(TOPICS, RULES, topic, payload.encode(), retained=False) == setting


def test_what_is_in_force_is_published_as_it_may_be_set() -> None:
    assert wire.enabled(TOPICS, True) == wire.Message("home/edged/porch/enabled", b"ON", 1, True)
    assert wire.enabled(TOPICS, False).payload == b"OFF"
    assert wire.threshold(TOPICS, "cat", 0.6) == wire.Message("home/edged/porch/threshold/cat", b"0.6", 1, True)
    for text in (b"1", b"0.01", b"0.6", b"0.6667"):
        found = parse(TOPICS, RULES, TOPICS.threshold_set("cat"), text, retained=False)
        assert isinstance(found, SetThreshold)
        assert wire.threshold(TOPICS, "cat", found.value).payload == text


# What is not for us


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "home/edged/porch",
        "home/edged/porch/request",
        "home/edged/porch/request/ping/more",
        "home/edged/porch/enabled",
        "home/edged/porch/threshold/cat",
        "home/edged/porch/threshold/set",
        "home/edged/porch/threshold/a/b/set",
        "home/edged/other/request/ping",
        "x/home/edged/porch/request/ping",
        "home/edged/porch/state/cat",
        "home/edged/porch/response/ping",
    ],
)
def test_topics_of_others_are_none_of_ours(topic: str) -> None:
    assert parse(TOPICS, RULES, topic, b"", retained=False) is None
    assert not commands.is_request(TOPICS, topic)
    assert not commands.is_setting(TOPICS, topic)


def test_what_is_retained_is_ignored() -> None:
    assert asked("restart", retained=True) is None
    assert asked("nonsense", b"\xff", retained=True) is None
    assert parse(TOPICS, RULES, TOPICS.enabled_set, b"OFF", retained=True) is None
    assert parse(TOPICS, RULES, TOPICS.threshold_set("cat"), b"0.5", retained=True) is None


def test_what_is_subscribed_to() -> None:
    assert commands.filters(TOPICS) == (
        "home/edged/porch/request/+",
        "home/edged/porch/enabled/set",
        "home/edged/porch/threshold/+/set",
        "home/edged/porch/update/model/set",
    )


# What is refused

NEEDS_NAME = "name: expected the name of a model, found"
NEEDS_VERSION = "version: expected a version such as 1.2.0, found"
NEEDS_SEQ = f"from_seq: expected a whole number from 1 to {BIGGEST}, found"
NEEDS_SECONDS = "seconds: expected a number from 1 to 86400, found"


@pytest.mark.parametrize(
    ("command", "payload", "error", "transaction"),
    [
        ("ping", " ", "found a mistake at character 2", None),
        ("ping", "{", "found a mistake at character 2", None),
        ("ping", '{"transaction": "a"', "found a mistake at", None),
        ("ping", "{} {}", "found a mistake at character 4", None),
        ("ping", "\ufeff{}", "found a mistake at", None),
        ("ping", "[]", "expected a JSON object, found a list", None),
        ("ping", "null", "found null", None),
        ("ping", '"ping"', 'found "ping"', None),
        ("ping", "1" * 4000, f"found {'1' * 40}…", None),
        ("ping", b"\xff\xfe{}", "expected UTF-8, found byte 0xff at 0", None),
        ("ping", b'{"transaction": "\xed\xa0\x80"}', "expected UTF-8, found byte 0xed at 17", None),
        ("ping", b" " * 4097, "expected at most 4096 bytes, found 4097", None),
        ("ping", DEEP, "expected at most 4096 bytes, found 100000", None),
        ("ping", b"[" * 4096, "found more than 8 levels", None),
        ("ping", b'{"a":' * 800, "found more than 8 levels", None),
        ("ping", '{"transaction": 1, "path": "/etc"}', 'no key but transaction, found "path"', 1),
        ("ping", '{"transaction": 1, "x": [[[{}]]]}', 'found "x"', 1),
        ("ping", '{"transaction": 1, "x": 1, "x": 2}', 'found "x" twice', 1),
        ("ping", '{"transaction": 1, "transaction": 1}', 'found "transaction" twice', None),
        ("ping", '{"transaction": NaN}', "found NaN", None),
        ("ping", '{"transaction": 1, "x": -Infinity}', "found -Infinity", 1),
        ("ping", '{"transaction": true}', "transaction: expected text", None),
        ("ping", '{"transaction": null}', "found null", None),
        ("ping", '{"transaction": 1.0}', "found 1.0", None),
        ("ping", '{"transaction": {"a": 1}}', "found an object", None),
        ("ping", f'{{"transaction": {BIGGEST + 1}}}', f"found {BIGGEST + 1}", None),
        ("ping", f'{{"transaction": "{"a" * 129}"}}', f'found "{"a" * 40}…"', None),
        ("ping", '{"transaction": "\\ud800"}', 'found "?"', None),
        ("ping", json.dumps({"\x1b[31m\n": 1}), 'found "?[31m?"', None),
        ("replay", '{"transaction": "t"}', f"{NEEDS_SEQ} nothing", "t"),
        ("replay", '{"from_seq": 0}', f"{NEEDS_SEQ} 0", None),
        ("replay", '{"from_seq": -1}', f"{NEEDS_SEQ} -1", None),
        ("replay", '{"from_seq": 1.0}', f"{NEEDS_SEQ} 1.0", None),
        ("replay", '{"from_seq": true}', f"{NEEDS_SEQ} true", None),
        ("replay", '{"from_seq": "1"}', f'{NEEDS_SEQ} "1"', None),
        ("replay", f'{{"from_seq": {BIGGEST + 1}}}', f"{NEEDS_SEQ} {BIGGEST + 1}", None),
        ("replay", f'{{"from_seq": {"9" * 4000}}}', f"{NEEDS_SEQ} {'9' * 40}…", None),
        ("replay", '{"from_seq": 1, "seconds": 1}', 'but from_seq and transaction, found "seconds"', None),
        ("pause", "", f"{NEEDS_SECONDS} nothing; for longer send OFF", None),
        ("pause", '{"seconds": 0.99}', f"{NEEDS_SECONDS} 0.99", None),
        ("pause", '{"seconds": 86400.1}', f"{NEEDS_SECONDS} 86400.1", None),
        ("pause", '{"seconds": 1e999, "transaction": 2}', f"{NEEDS_SECONDS} inf", 2),
        ("pause", '{"seconds": true}', f"{NEEDS_SECONDS} true", None),
        ("pause", '{"seconds": [60]}', f"{NEEDS_SECONDS} a list", None),
        ("model", "", f"{NEEDS_NAME} nothing; D/info has", None),
        ("model", '{"name": "https://example.org/x", "transaction": 3}', f'{NEEDS_NAME} "https://example.org/x"', 3),
        ("model", '{"name": "../x"}', f'{NEEDS_NAME} "../x"', None),
        ("model", '{"name": "x@1"}', f'{NEEDS_NAME} "x@1"', None),
        ("model", '{"name": 7}', f"{NEEDS_NAME} 7", None),
        ("model", '{"name": "x", "version": "../1"}', f'{NEEDS_VERSION} "../1"; leave it out', None),
        ("model", '{"name": "x", "version": 1.0}', f"{NEEDS_VERSION} 1.0", None),
        ("model", '{"name": "x", "version": null}', f"{NEEDS_VERSION} null", None),
        ("model", '{"name": "x", "url": "https://example.org"}', "but name and version and transaction", None),
    ],
)
def test_a_bad_request(command: str, payload: bytes | str, error: str, transaction: object) -> None:
    found = asked(command, payload)
    assert isinstance(found, Refusal)
    assert error in found.error
    assert (found.command, found.transaction, found.rule) == (command, transaction, None)
    assert answered(found) == {"status": "error", "data": None, "error": found.error, "transaction": transaction}


@pytest.mark.parametrize("command", ["", "PING", "ping ", "x" * 10_000, "\x00", "enabled", "unknown", "日", ".."])
def test_a_command_that_does_not_exist_is_answered_on_one_topic(command: str) -> None:
    found = asked(command, '{"transaction": "t"}')
    assert isinstance(found, Refusal)
    assert (found.command, found.transaction) == ("unknown", "t")
    assert found.error.startswith("expected one of ping, replay, pause, resume, restart, model, found ")
    assert response(TOPICS, found).topic == "home/edged/porch/response/unknown"
    answered(found)


@pytest.mark.parametrize(
    ("topic", "payload", "command", "rule", "found_"),
    [
        *(
            (TOPICS.enabled_set, payload, "enabled", None, found)
            for payload, found in [(b"", "found nothing"), (b"on", '"on"'), (b"ON\n", '"ON?"'), (b"true", '"true"')]
        ),
        (TOPICS.enabled_set, b"\xff" * 100_000, "enabled", None, f'"{chr(0xFFFD) * 40}…"'),
        *(
            (TOPICS.threshold_set("cat"), payload, "threshold", "cat", "cat: expected a decimal from 0.01 to 1, found ")
            for payload in (
                *(b"", b"0", b"0.00", b"0.0099999", b"1.0001", b"2", b"-0.5", b"+0.5", b".5", b"1.", b"5e-1", b"0,5"),
                *(
                    b" 0.5",
                    b"0.5\n",
                    b"NaN",
                    b"inf",
                    b"0x1",
                    b'"0.5"',
                    b'{"value": 0.5}',
                    b"\xd9\xa0.\xd9\xa5",
                    b"0.5\x00",
                ),
                *(b"0." + b"5" * 21, b"0" * 100_000, b"0" * 76 + b"1.00", b"\xff", DEEP),
            )
        ),
        (TOPICS.threshold_set("fox"), b"0.5", "threshold", None, 'expected the name of a rule, found "fox"'),
        (TOPICS.threshold_set(""), b"0.5", "threshold", None, 'found ""'),
        (TOPICS.threshold_set("z" * 60_000), b"0.5", "threshold", None, f'found "{"z" * 40}…"'),
    ],
)
def test_a_bad_setting(topic: str, payload: bytes, command: str, rule: str | None, found_: str) -> None:
    found = parse(TOPICS, RULES, topic, payload, retained=False)
    assert isinstance(found, Refusal)
    assert (found.command, found.rule, found.transaction) == (command, rule, None)
    assert found_ in found.error
    assert response(TOPICS, found).topic == f"home/edged/porch/response/{command}"
    answered(found)


def test_the_daemon_refuses_in_the_same_way() -> None:
    found = commands.refused(Replay(1, "t"), "expected a connection, found none; wait")
    assert found == Refusal("replay", "expected a connection, found none; wait", "t")
    assert commands.refused(SetThreshold("cat", 0.5), "no").rule == "cat"


# Whatever comes in


def harmless(topic: str, payload: bytes, retained: bool = False) -> Request | Setting | Refusal | None:
    found = parse(TOPICS, RULES, topic, payload, retained)
    assert found is None or isinstance(found, Request | Setting | Refusal)
    if found is not None:
        assert response(TOPICS, found).topic.removeprefix(TOPICS.root + "/response/") in (
            *("ping", "replay", "pause", "resume", "restart", "model", "unknown", "enabled", "threshold", "update"),
        )
        answered(found)
    return found


KEYS = ("transaction", "from_seq", "seconds", "from_seq", "seconds", "", "\ud800", "k" * 200)
PLAIN = ("true", "false", "null", "ON", '"OFF"', "{}", '"a"')
NUMBERS = ("0", "1", "-1", "60", "7", "1e999", "-1e-999", "0.5", "NaN", "-Infinity")
WORDS = (*("ping", "replay", "pause", "resume", "restart", "model", "unknown", "x" * 300, "日", ""),)


def number(rng: random.Random) -> str:
    huge = rng.randrange(9) == 0
    return "".join(rng.choices("0123456789", k=rng.choice((9, 20, 400, 4400)))) if huge else rng.choice(NUMBERS)


def value(rng: random.Random, depth: int = 0) -> str:
    kind = rng.randrange(8)
    if kind == 0 and depth < 30:
        return "[" + ",".join(value(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    if kind == 1 and depth < 30:
        return members(rng, 3, depth + 1)
    if kind == 2:
        return json.dumps("".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(150))))
    return number(rng) if kind < 6 else rng.choice(PLAIN)


def members(rng: random.Random, count: int, depth: int = 0) -> str:
    return "{" + ",".join(f"{json.dumps(rng.choice(KEYS))}: {value(rng, depth)}" for _ in range(count)) + "}"


def generated(seed: int) -> tuple[str, bytes]:
    """One message: mostly to our topics, from good to binary nonsense."""
    rng = random.Random(seed)
    settings = (TOPICS.enabled_set, TOPICS.threshold_set("cat"), TOPICS.threshold_set(rng.choice(WORDS)), "else")
    topic = rng.choice((*map(TOPICS.request, WORDS), *settings))
    kind = rng.randrange(12)
    if kind == 0:
        payload = rng.randbytes(rng.randrange(200))
    elif kind == 1:
        payload = rng.choice((b"[", b'{"a":', b"[{", b'"', b"\\", b"[]")) * rng.choice((1, 7, 9, 2000, 100_000))
    elif kind < 5:
        payload = rng.choice((b"", b"ON", b"OFF", b"0.5", b"1", number(rng).encode(), value(rng).encode()))
    else:
        payload = members(rng, rng.choice((0, 1, 1, 1, 2, 3))).encode()
    if payload and rng.random() < 0.2:
        at = rng.randrange(len(payload))
        payload = payload[:at] + rng.randbytes(1) + payload[at + 1 :]
    return topic, payload


def test_ten_thousand_generated_messages_do_no_harm() -> None:
    kinds = {type(harmless(*generated(seed))).__name__ for seed in range(10_000)}
    made = {kind.__name__ for kind in (Ping, Replay, Pause, Resume, Restart, SetEnabled, SetThreshold)}
    assert kinds == {*made, "Refusal", "NoneType"}


@given(
    st.sampled_from([*(TOPICS.request(c) for c in ("ping", "replay", "pause", "x")), *commands.filters(TOPICS)]),
    st.binary(max_size=300),
    st.booleans(),
)
def test_any_bytes_do_no_harm(topic: str, payload: bytes, retained: bool) -> None:
    harmless(topic, payload, retained)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=140),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
numbers = st.integers() | st.integers(1, 100) | st.floats() | st.floats(0.5, 90_000)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "transaction": json_values | st.text(max_size=20) | st.integers(-BIGGEST, BIGGEST),
        "from_seq": json_values | numbers,
        "seconds": json_values | numbers,
    },
)


def is_finite(values: dict[str, Any]) -> bool:
    """Whether JSON has a word for each of its numbers."""
    try:
        json.dumps(values, allow_nan=False)
    except ValueError:
        return False
    return True


@given(st.sampled_from(sorted(REQUESTS["$defs"])), bodies)
def test_the_schema_allows_exactly_what_is_obeyed(command: str, values: dict[str, Any]) -> None:
    payload = json.dumps(values)
    found = harmless(TOPICS.request(command), payload.encode())
    strictly = {**REQUESTS["$defs"][command], "$schema": REQUESTS["$schema"]}
    valid = is_finite(values) and len(payload) <= 4096 and jsonschema.Draft202012Validator(strictly).is_valid(values)
    whole = (values.get("transaction"), values.get("from_seq"))
    if not any(isinstance(value, float) and value.is_integer() for value in whole):  # 1.0 is whole to a schema alone
        assert isinstance(found, Request) == valid, found


@given(bodies, st.text(max_size=300))
def test_a_refusal_shows_little_of_what_came_in(values: dict[str, Any], text: str) -> None:
    noise = "#canary " * 100
    for payload in (noise, json.dumps({**values, noise: 1}), json.dumps({"seconds": noise, "transaction": noise})):
        for topic in (TOPICS.request("pause"), TOPICS.request(noise + text), TOPICS.threshold_set(noise)):
            found = harmless(topic, payload.encode())
            if isinstance(found, Refusal):
                assert found.error.count("#") * len("#canary ") <= 80
                assert found.error.isprintable()


def test_reading_leaves_nothing_behind() -> None:
    messages = [generated(seed) for seed in range(1_000)]
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(6):
            for topic, payload in messages:
                parse(TOPICS, RULES, topic, payload, retained=False)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # The interpreter's own caches wander from round to round; a leak of a byte a message would show in every one.
    assert min(after - before for before, after in pairwise(sizes)) < len(messages)


# The page


SETTINGS = ("D/enabled", "D/threshold/<rule>", "D/update/model")


def test_the_page_has_every_command_and_key() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    keys = {key for of in REQUESTS["$defs"].values() for key in of["properties"]}
    assert set(named) == {*REQUESTS["$defs"], *keys, *schema("response")["required"], *SETTINGS}
    assert sorted(name for name in set(named) if named.count(name) > 1) == ["transaction"]  # asked and answered


def test_the_page_shows_a_real_answer() -> None:
    shown = json.loads(PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0])
    assert answered(asked("pause", '{"seconds": "ten", "transaction": "party"}')) == shown
