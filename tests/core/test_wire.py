"""Every payload: its topic, quality of service, keys and size, against the table that consumers build on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core import wire
from edged.core.activation import Record
from edged.core.problems import Problem
from edged.core.stats import Percentiles
from edged.core.types import Event, Message, Rule, WallTime
from tests.fakes import condition, model, rule

LONG = "n" * 32
TOPICS = wire.Topics("edged", "porch")
NOW = WallTime(1_795_341_600.123, "synced")


def body(message: Message) -> dict[str, Any]:
    decoded = json.loads(message.payload)
    assert isinstance(decoded, dict)
    return decoded


def end(what: Rule, **changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": "01JD0000000000000000000000",
        "seq": 1234,
        "log": "01JC0000000000000000000000",
        "boot_id": "11111111-2222-3333-4444-555555555555",
        "event_type": "end",
        "rule": what.name,
        "label": what.label,
        "region": what.region,
        "score": 0.123456,
        "peak_score": 0.987654,
        "time": NOW,
        "start_time": WallTime(NOW.utc_s - 8.5, "synced"),
        "duration_s": 8.5,
        "reason": "gone",
        "t_s": 12.0,
        "start_t_s": 3.5,
        "frame_age_ms": 41,
        "model": "efficientnet-lite0-int8@ab12cd34",
    }
    return Event(**{**values, **changes})


def health(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "fps": 9.98765,
        "frames": 10**9,
        "drops": 10**9,
        "damaged": 7,
        "invoke_ms": Percentiles(30.12345, 40.5, 51.0),
        "frame_age_ms": 41,
        "outbox": {
            "rows": 0,
            "bytes": None,
            "oldest_s": None,
            "dropped": 0,
            "set_aside": 0,
            "first_seq": None,
            "last_seq": None,
        },
        "requests_dropped": 3,
        "rss_mb": 83.25,
        "condition": condition(
            anonymous_mb=53.04,
            memory_limit_mb=247.0,
            memory_cgroup=True,
            disk_free_mb=1234.56,
            soc_temp_c=61.04,
            undervoltage=False,
        ),
        "clock_synced": True,
        "problems": [],
    }
    return wire.health(TOPICS, **{**values, **changes})


def info(rules: list[Rule], **changes: Any) -> Message:
    values: dict[str, Any] = {
        "version": "1.0.0",
        "board": "0123456789abcdef",
        "boot_id": "11111111-2222-3333-4444-555555555555",
        "log": "01JC0000000000000000000000",
        "last_exit": {"code": 1, "reason": "the model's output is not a number"},
        "model": model(),
        "activation": Record("settled", "toy", "1", None, None, NOW),
        "rules": rules,
        "settings": {
            "fps": 10,
            "width_px": 640,
            "height_px": 480,
            "threads": 2,
            "runtime": "LiteRT 2",
            "protocol": "5",
        },
    }
    return wire.info(TOPICS, **{**values, **changes})


@pytest.mark.parametrize(
    ("message", "topic", "qos", "retain", "expiry_s"),
    [
        (wire.availability(TOPICS, wire.ONLINE), "edged/porch/availability", 1, True, None),
        (wire.pipeline(TOPICS, "running", None, NOW), "edged/porch/pipeline", 1, True, None),
        (info([rule()]), "edged/porch/info", 1, True, None),
        (health(), "edged/porch/health", 0, False, None),
        (wire.state(TOPICS, "cat", "ON", 0.9, NOW, 1, "01JD"), "edged/porch/state/cat", 1, True, None),
        (wire.event(TOPICS, end(rule()), late=False), "edged/porch/event/cat", 1, False, 300),
        (wire.event(TOPICS, end(rule()), late=True), "edged/porch/backlog/cat", 1, False, None),
    ],
    ids=["availability", "pipeline", "info", "health", "state", "event", "backlog"],
)
def test_where_each_message_goes(message: Message, topic: str, qos: int, retain: bool, expiry_s: int | None) -> None:
    assert (message.topic, message.qos, message.retain, message.expiry_s) == (topic, qos, retain, expiry_s)


def test_availability_is_a_plain_word() -> None:
    assert wire.availability(TOPICS, wire.ONLINE).payload == b"online"
    assert wire.availability(TOPICS, wire.OFFLINE).payload == b"offline"


def test_an_event_says_all_of_this_and_nothing_else() -> None:
    assert body(wire.event(TOPICS, end(rule("cat", label="felis")), late=False)) == {
        "schema": 1,
        "id": "01JD0000000000000000000000",
        "seq": 1234,
        "log": "01JC0000000000000000000000",
        "boot_id": "11111111-2222-3333-4444-555555555555",
        "event_type": "end",
        "rule": "cat",
        "label": "felis",
        "region": "full",
        "score": 0.1235,
        "peak_score": 0.9877,
        "time": "2026-11-22T10:00:00.123Z",
        "clock": "synced",
        "start_time": "2026-11-22T09:59:51.623Z",
        "duration_s": 8.5,
        "reason": "gone",
        "frame_age_ms": 41,
        "model": "efficientnet-lite0-int8@ab12cd34",
        "replayed": False,
    }


def test_a_start_and_an_end_without_a_picture_have_nulls() -> None:
    start = end(rule(), event_type="start", duration_s=None, reason=None)
    payload = body(wire.event(TOPICS, start, late=False))
    assert (payload["event_type"], payload["duration_s"], payload["reason"]) == ("start", None, None)
    blind = end(rule(), score=None, reason="camera_lost", frame_age_ms=None)
    payload = body(wire.event(TOPICS, blind, late=False))
    assert (payload["score"], payload["reason"], payload["frame_age_ms"]) == (None, "camera_lost", None)


@pytest.mark.parametrize("late", [False, True])
def test_a_late_event_says_so_and_goes_elsewhere(late: bool) -> None:
    message = wire.event(TOPICS, end(rule()), late=late)
    assert body(message)["replayed"] is late
    assert message.topic == f"edged/porch/{'backlog' if late else 'event'}/cat"


def test_pipeline_and_state_say_all_of_this_and_nothing_else() -> None:
    assert body(wire.pipeline(TOPICS, "camera_lost", "unplugged", NOW)) == {
        "state": "camera_lost",
        "reason": "unplugged",
        "since": "2026-11-22T10:00:00.123Z",
        "clock": "synced",
    }
    assert body(wire.state(TOPICS, "cat", "unknown", None, WallTime(0.0, "unsynced"), None, None)) == {
        "state": "unknown",
        "score": None,
        "since": "1970-01-01T00:00:00.000Z",
        "clock": "unsynced",
        "seq": None,
        "id": None,
    }


def test_health_says_all_of_this_and_nothing_else() -> None:
    problem = (Problem("camera_lost", "the camera is unplugged", 5.0), NOW)
    assert body(health(problems=[problem])) == {
        "schema": 1,
        "fps": 9.99,
        "frames": 10**9,
        "drops": 10**9,
        "damaged": 7,
        "invoke_ms": {"p50": 30.123, "p95": 40.5, "p99": 51.0},
        "frame_age_ms": 41,
        "outbox": {
            "rows": 0,
            "bytes": None,
            "oldest_s": None,
            "dropped": 0,
            "set_aside": 0,
            "first_seq": None,
            "last_seq": None,
        },
        "requests_dropped": 3,
        "rss_mb": 83.2,
        "anonymous_mb": 53.0,
        "memory_limit_mb": 247.0,
        "memory_cgroup": True,
        "disk_free_mb": 1234.6,
        "soc_temp_c": 61.0,
        "undervoltage": False,
        "throttled": None,
        "clock_synced": True,
        "problems": [{"code": "camera_lost", "text": "the camera is unplugged", "since": "2026-11-22T10:00:00.123Z"}],
    }


def test_a_figure_without_a_source_is_null() -> None:
    payload = body(health(fps=None, invoke_ms=None, frame_age_ms=None, rss_mb=None, condition=condition()))
    nothing = {"p50": None, "p95": None, "p99": None}
    assert payload["invoke_ms"] == nothing
    figures = ("fps", "frame_age_ms", "rss_mb", "anonymous_mb", "memory_limit_mb", "disk_free_mb", "soc_temp_c")
    assert [payload[key] for key in (*figures, "memory_cgroup", "undervoltage", "throttled")] == [None] * 10


def test_with_every_problem_at_once_sentences_are_cut_and_the_payload_stays_small() -> None:
    problems = [(Problem(code, "\x00" * 10_000, 5.0), NOW) for code in wire.PROBLEM_CODES]
    message = health(problems=problems)
    assert len(message.payload) <= 4096
    assert [one["code"] for one in body(message)["problems"]] == list(wire.PROBLEM_CODES)


def test_info_says_what_runs_and_nothing_of_where() -> None:
    payload = body(info([rule("cat"), rule("dog"), rule("kitten", label="cat")]))
    assert set(payload) == {
        *(
            "schema",
            "version",
            "board",
            "boot_id",
            "log",
            "last_exit",
            "model",
            "activation",
            "labels",
            "rules",
            "settings",
        )
    }
    assert payload["labels"] == ["cat", "dog"]
    assert payload["model"] == {"name": "toy", "version": "1", "sha256": "ab12cd34" * 8}
    assert payload["rules"][0] == {
        "name": "cat",
        "title": "cat seen",
        "label": "cat",
        "region": "full",
        "score_threshold": 0.6,
        "release_threshold": 0.4,
        "delay_on_s": 0.0,
        "delay_off_s": 0.0,
        "refractory_s": 0.0,
    }


def test_payloads_stay_within_their_bounds_at_the_longest_names() -> None:
    topics = wire.Topics(LONG, LONG)
    longest = rule(LONG, label="ü" * 200, region=LONG, title="T" * 200)
    for late in (False, True):
        event = end(longest, model="m" * 64 + "@ab12cd34", seq=2**53, frame_age_ms=10**9)
        assert len(wire.event(topics, event, late=late).payload) <= 4096
    assert len(wire.state(topics, LONG, "unknown", 0.1234, NOW, 2**53, "i" * 26).payload) <= 4096
    assert len(info([longest] * 32).payload) <= 64 * 1024


@pytest.mark.parametrize("text", ["x" * 10_000, "ü" * 10_000, "日本" * 10_000, '"\\' * 10_000])
def test_whatever_a_driver_or_a_broker_says_a_payload_stays_within_its_bounds(text: str) -> None:
    problems = [(Problem(code, text, 0.0), NOW) for code in wire.PROBLEM_CODES]
    message = health(problems=problems)
    assert len(message.payload) <= 4096
    assert body(message)["problems"][0]["text"].endswith("…")
    message = wire.pipeline(TOPICS, "camera_lost", text, NOW)
    assert len(message.payload) <= 4096
    assert text.startswith(body(message)["reason"].removesuffix("…"))


def test_a_sentence_of_usual_length_is_told_as_it_is() -> None:
    text = "die Kamera ist für 30 s nicht zu öffnen: Kabel und Strom prüfen"
    assert body(wire.pipeline(TOPICS, "camera_lost", text, NOW))["reason"] == text


def test_a_figure_that_is_no_number_is_a_bug() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        health(fps=float("nan"))


@given(st.integers(0, 4_102_444_800_000))
def test_moments_are_told_to_the_millisecond(utc_ms: int) -> None:
    text = wire.iso(utc_ms / 1000)
    assert len(text) == len("2026-11-22T10:00:00.123Z")
    assert text.endswith("Z")
    assert np.datetime64(text[:-1], "ms").astype(int) == utc_ms


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_labels_in_any_script_come_back_as_they_are(label: str) -> None:
    message = wire.event(TOPICS, end(rule("cat", label=label)), late=False)
    assert json.loads(message.payload.decode("utf-8"))["label"] == label
