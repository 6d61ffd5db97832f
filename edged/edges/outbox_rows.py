"""An event as a row of the outbox and back, and what a clock may still change about it. No SQL runs here."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

from edged.core.types import Event, WallTime

COLUMNS = {
    "id": "TEXT NOT NULL",
    "boot_id": "TEXT NOT NULL",
    "event_type": "TEXT NOT NULL",
    "rule": "TEXT NOT NULL",
    "label": "TEXT NOT NULL",
    "region": "TEXT NOT NULL",
    "score": "REAL",
    "peak_score": "REAL",
    "utc_s": "REAL NOT NULL",
    "clock": "TEXT NOT NULL",
    "start_utc_s": "REAL NOT NULL",
    "start_clock": "TEXT NOT NULL",
    "duration_s": "REAL",
    "reason": "TEXT",
    "frame_age_ms": "INTEGER",
    "model": "TEXT NOT NULL",
    "t_s": "REAL NOT NULL",
    "start_t_s": "REAL NOT NULL",
}
"""An event's columns but its number, with their types in SQL."""

BEFORE_THIS_BOOT = -math.inf
"""`start_t_s` of an episode that began in an earlier boot nobody knows how long ago."""

_FIXED_BYTES = 160
"""Of any row: its numbers and fixed words, its header, its place in page and index, the share of pages not full."""


_TEXTS = (1, 2, 3, 4, 5, 6, 10, 12, 16)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_FAR_UTC_S = 2.5e11  # the year 9892


def values(event: Event) -> tuple[Any, ...]:
    """`seq`, then the columns in their order."""
    return (
        event.seq,
        event.id,
        event.boot_id,
        event.event_type,
        event.rule,
        event.label,
        event.region,
        event.score,
        event.peak_score,
        event.time.utc_s,
        event.time.clock,
        event.start_time.utc_s,
        event.start_time.clock,
        event.duration_s,
        event.reason,
        event.frame_age_ms,
        event.model,
        event.t_s,
        event.start_t_s,
    )


def event(log: str, row: tuple[Any, ...]) -> Event:
    """The event that `values` made the row of.

    Raises:
        ValueError: the row is none of ours; a payload made of it would be refused or be a lie.
    """
    if not _is_sound(row):
        raise ValueError(f"row {row[0]} makes no sense")
    seq, id_, boot_id, event_type, rule, label, region, score, peak_score, *times, model, t_s, start_t_s = row
    utc_s, clock, start_utc_s, start_clock, duration_s, reason, frame_age_ms = times
    return Event(
        id=id_,
        seq=seq,
        log=log,
        boot_id=boot_id,
        event_type=event_type,
        rule=rule,
        label=label,
        region=region,
        score=score,
        peak_score=peak_score,
        time=WallTime(utc_s, clock),
        start_time=WallTime(start_utc_s, start_clock),
        duration_s=duration_s,
        reason=reason,
        frame_age_ms=frame_age_ms,
        model=model,
        t_s=t_s,
        start_t_s=start_t_s,
    )


def _is_sound(row: tuple[Any, ...]) -> bool:
    """Whether types, words and ranges are those of an event: a disk that forgets a bit does not always say so."""
    *_, score, peak_score, utc_s, _, start_utc_s, _, duration_s, _, age_ms, _, t_s, start_t_s = row
    numbers = [one for one in (score, peak_score, duration_s) if one is not None]
    return (
        all(isinstance(row[at], str) for at in _TEXTS)
        and _NAME.fullmatch(row[4]) is not None
        and row[3] in ("start", "end")
        and {row[10], row[12]} <= {"synced", "corrected", "unsynced"}
        and all(isinstance(one, float) for one in (*numbers, utc_s, start_utc_s, t_s, start_t_s))
        and all(math.isfinite(one) for one in (*numbers, t_s))
        and all(abs(one) < _FAR_UTC_S for one in (utc_s, start_utc_s))
        and isinstance(row[14], str | None)
        and isinstance(age_ms, int | None)
    )


def size_bytes(event: Event) -> int:
    """About what the event takes on the disk, a little more rather than less; the same whatever becomes of it."""
    texts = (event.id, event.boot_id, event.rule, event.label, event.region, event.model, event.reason or "")
    return _FIXED_BYTES + sum(len(text.encode()) for text in texts)


def is_trusted(time: WallTime) -> bool:
    """Whether a wall time was, or became, that of a synced clock."""
    return time.clock != "unsynced"


def corrected(event: Event, boot_id: str, offset_s: float) -> Event:
    """The event with the wall times that a synced clock gives to moments of this boot.

    Args:
        offset_s: wall time minus monotonic time.
    """
    if event.boot_id != boot_id:
        return event
    time, start_time = event.time, event.start_time
    if not is_trusted(time):
        time = WallTime(offset_s + event.t_s, "corrected")
    if not is_trusted(start_time) and event.start_t_s > BEFORE_THIS_BOOT:
        start_time = WallTime(offset_s + event.start_t_s, "corrected")
    return replace(event, time=time, start_time=start_time)
