"""Every payload that the daemon can send is made here, and nothing else is ever sent.

Law: no function here takes pixels, a path, a host, a user name or a URL; what a function does not take cannot leak.
Payloads are UTF-8 JSON objects (`edged/schema/` describes each) or the plain words below. Within a schema version,
keys and words are only added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edged.core.activation import Record
from edged.core.condition import Condition
from edged.core.problems import Problem
from edged.core.stats import Percentiles
from edged.core.topics import Topics as Topics
from edged.core.types import Event, Message, ModelSpec, PipelineState, Rule, State, WallTime

SCHEMA = 1
EVENT_EXPIRY_S = 300
LIVE_AGE_S = 30.0
ONLINE, OFFLINE = b"online", b"offline"
MAX_SENTENCE_BYTES = 200
"""Sentences come from drivers and brokers too; a payload must stay within its 4,096 bytes whatever they say."""
MAX_PROBLEMS_BYTES = 2000
"""Of the sentences of all problems together: with every problem at once they are shorter."""
MAX_ERROR_BYTES = 500
"""There is one error in a response, and it says what to do."""

PROBLEM_CODES = (
    "broker_lost",
    "camera_fault",
    "camera_lost",
    "clock_unsynced",
    "disk_low",
    "event_refused",
    "hot",
    "memory_high",
    "model_refused",
    "model_rolled_back",
    "name_in_use",
    "outbox_damaged",
    "outbox_disk",
    "outbox_full",
    "secret_exposed",
    "throttled",
    "undervoltage",
    "xnnpack_inactive",
)


def iso(utc_s: float) -> str:
    """RFC 3339 in UTC with milliseconds, "2026-11-22T10:00:00.123Z"."""
    return f"{np.datetime64(round(utc_s * 1000), 'ms')}Z"


def availability(topics: Topics, word: bytes) -> Message:
    """`online` or `offline`; everything else retained counts only while it is `online`."""
    return Message(topics.availability, word, qos=1, retain=True)


def pipeline(topics: Topics, state: PipelineState, reason: str | None, since: WallTime) -> Message:
    """What the pipeline does, why, and since when."""
    payload = {"state": state, "reason": _sentence(reason), "since": iso(since.utc_s), "clock": since.clock}
    return _json(topics.pipeline, payload, qos=1, retain=True)


def state(
    topics: Topics, rule: str, value: State, score: float | None, since: WallTime, seq: int | None, id_: str | None
) -> Message:
    """The current state of a rule; `score`, `seq` and `id_` are those of the change, None where it was no event."""
    payload = {
        "state": value,
        "score": _rounded(score),
        "since": iso(since.utc_s),
        "clock": since.clock,
        "seq": seq,
        "id": id_,
    }
    return _json(topics.state(rule), payload, qos=1, retain=True)


def event(topics: Topics, event: Event, *, late: bool) -> Message:
    """An event, on the live topic or on the backlog.

    Args:
        late: more than LIVE_AGE_S old, or asked for again: an automation must not take it for what happens now.
    """
    payload = {
        "schema": SCHEMA,
        "id": event.id,
        "seq": event.seq,
        "log": event.log,
        "boot_id": event.boot_id,
        "event_type": event.event_type,
        "rule": event.rule,
        "label": event.label,
        "region": event.region,
        "score": _rounded(event.score),
        "peak_score": _rounded(event.peak_score),
        "time": iso(event.time.utc_s),
        "clock": event.time.clock,
        "start_time": iso(event.start_time.utc_s),
        "duration_s": None if event.duration_s is None else round(event.duration_s, 3),
        "reason": event.reason,
        "frame_age_ms": event.frame_age_ms,
        "model": event.model,
        "replayed": late,
    }
    if late:
        return _json(topics.backlog(event.rule), payload, qos=1, retain=False)
    return _json(topics.event(event.rule), payload, qos=1, retain=False, expiry_s=EVENT_EXPIRY_S)


def info(
    topics: Topics,
    *,
    version: str,
    board: str,
    boot_id: str,
    log: str,
    last_exit: Mapping[str, Any] | None,
    model: ModelSpec,
    activation: Record,
    rules: Sequence[Rule],
    settings: Mapping[str, Any],
) -> Message:
    """What runs here and how it is set up: for people and for tools that list devices."""
    payload = {
        "schema": SCHEMA,
        "version": version,
        "board": board,
        "boot_id": boot_id,
        "log": log,
        "last_exit": last_exit,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "activation": {
            "state": activation.phase,
            "name": activation.name,
            "version": activation.version,
            "previous": activation.previous,
            "reason": _sentence(activation.reason, MAX_ERROR_BYTES),
            "since": iso(activation.since.utc_s),
            "clock": activation.since.clock,
        },
        "labels": sorted({rule.label for rule in rules}),
        "rules": [
            {
                "name": rule.name,
                "title": rule.title,
                "label": rule.label,
                "region": rule.region,
                "score_threshold": rule.score_threshold,
                "release_threshold": rule.release_threshold,
                "delay_on_s": rule.delay_on_s,
                "delay_off_s": rule.delay_off_s,
                "refractory_s": rule.refractory_s,
            }
            for rule in rules
        ],
        "settings": dict(settings),
    }
    return _json(topics.info, payload, qos=1, retain=True)


def health(
    topics: Topics,
    *,
    fps: float | None,
    frames: int,
    drops: int,
    damaged: int,
    invoke_ms: Percentiles | None,
    frame_age_ms: int | None,
    outbox: Mapping[str, int | float | None],
    requests_dropped: int,
    rss_mb: float | None,
    condition: Condition,
    clock_synced: bool,
    problems: Sequence[tuple[Problem, WallTime]],
) -> Message:
    """How it goes; a figure whose source does not exist on this board is null."""
    each_bytes = min(MAX_SENTENCE_BYTES, MAX_PROBLEMS_BYTES // max(1, len(problems)))
    payload = {
        "schema": SCHEMA,
        "fps": _rounded(fps, 2),
        "frames": frames,
        "drops": drops,
        "damaged": damaged,
        "invoke_ms": {name: _rounded(getattr(invoke_ms, name, None), 3) for name in ("p50", "p95", "p99")},
        "frame_age_ms": frame_age_ms,
        "outbox": dict(outbox),
        "requests_dropped": requests_dropped,
        "rss_mb": _rounded(rss_mb, 1),
        "anonymous_mb": _rounded(condition.anonymous_mb, 1),
        "memory_limit_mb": _rounded(condition.memory_limit_mb, 1),
        "memory_cgroup": condition.memory_cgroup,
        "disk_free_mb": _rounded(condition.disk_free_mb, 1),
        "soc_temp_c": _rounded(condition.soc_temp_c, 1),
        "undervoltage": condition.undervoltage,
        "throttled": condition.throttled,
        "clock_synced": clock_synced,
        "problems": [
            {"code": problem.code, "text": _sentence(problem.text, each_bytes), "since": iso(since.utc_s)}
            for problem, since in problems
        ],
    }
    return _json(topics.health, payload, qos=0, retain=False)


def enabled(topics: Topics, on: bool) -> Message:
    """Whether detection is switched on: the word `ON` or `OFF`."""
    return Message(topics.enabled, b"ON" if on else b"OFF", qos=1, retain=True)


def threshold(topics: Topics, rule: str, score_threshold: float) -> Message:
    """The score_threshold in force, as a plain decimal of at most four places: `0.6`, `1`."""
    text = f"{score_threshold:.4f}".rstrip("0").rstrip(".")
    return Message(topics.threshold(rule), text.encode(), qos=1, retain=True)


def update(topics: Topics, record: Record, newest: str) -> Message:
    """Home Assistant's update object: the version that runs, and the newest that could."""
    payload = {
        "installed_version": record.running,
        "latest_version": newest,
        "title": record.name,
        "in_progress": record.phase == "preparing",
    }
    return _json(topics.update, payload, qos=1, retain=True)


def response(
    topics: Topics,
    command: str,
    *,
    error: str | None = None,
    data: Mapping[str, Any] | None = None,
    transaction: str | int | None = None,
) -> Message:
    """The answer to a command, or to a setting that was refused.

    Args:
        error: one sentence; None for a command that is carried out.
        transaction: what the request had under this name, within the bounds of `core.commands`.
    """
    payload = {
        "status": "ok" if error is None else "error",
        "data": None if data is None else dict(data),
        "error": _sentence(error, MAX_ERROR_BYTES),
        "transaction": transaction,
    }
    return _json(topics.response(command), payload, qos=1, retain=False)


def _sentence(text: str | None, max_bytes: int = MAX_SENTENCE_BYTES) -> str | None:
    """The text, cut where it would take more than `max_bytes` as JSON: quotes and control characters count double."""
    if text is None or _size_bytes(text) <= max_bytes:
        return text
    kept = text.encode()[:max_bytes].decode(errors="ignore")
    while (excess := _size_bytes(kept + "…") - max_bytes) > 0:
        kept = kept[: -max(1, excess // 6)]
    return kept + "…"


def _size_bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(float(value), digits)


def _json(topic: str, payload: Mapping[str, Any], *, qos: Any, retain: bool, expiry_s: int | None = None) -> Message:
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Message(topic, text.encode(), qos, retain, expiry_s)
