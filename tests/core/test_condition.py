"""What figures mean: one sentence a code, and the end before memory runs out."""

from __future__ import annotations

from typing import Any

import pytest

from edged.core.condition import DISK_LOW_MB, HOT_C, UNSYNCED_S, complaints, exhausted
from edged.core.wire import MAX_SENTENCE_BYTES, PROBLEM_CODES
from tests.fakes import condition

WELL = {
    "anonymous_mb": 55.0,
    "begun_mb": 50.0,
    "memory_limit_mb": 242.0,
    "memory_cgroup": False,
    "disk_free_mb": 20_000.0,
    "soc_temp_c": 61.0,
    "undervoltage": False,
    "throttled": False,
    "unsynced_s": None,
}


def codes(**changes: Any) -> list[str]:
    return list(complaints(condition(**{**WELL, **changes})))


def test_a_board_that_is_well_and_one_without_sensors_have_no_complaint() -> None:
    assert codes() == []
    assert complaints(condition()) == {}
    assert exhausted(condition()) is None


@pytest.mark.parametrize(
    ("code", "just", "not_yet"),
    [
        ("undervoltage", {"undervoltage": True}, {"undervoltage": None}),
        ("throttled", {"throttled": True}, {"throttled": None}),
        ("hot", {"soc_temp_c": HOT_C}, {"soc_temp_c": HOT_C - 0.1}),
        ("disk_low", {"disk_free_mb": DISK_LOW_MB - 0.1}, {"disk_free_mb": DISK_LOW_MB}),
        ("memory_high", {"anonymous_mb": 194.0}, {"anonymous_mb": 193.9}),
        ("clock_unsynced", {"unsynced_s": UNSYNCED_S}, {"unsynced_s": UNSYNCED_S - 1.0}),
    ],
)
def test_each_complaint_has_its_bound(code: str, just: dict[str, Any], not_yet: dict[str, Any]) -> None:
    assert codes(**just) == [code]
    assert codes(**not_yet) == []


def test_memory_ends_the_process_at_the_limit_and_not_before() -> None:
    assert exhausted(condition(**{**WELL, "anonymous_mb": 241.9})) is None
    reason = exhausted(condition(**{**WELL, "anonymous_mb": 300.4}))
    assert reason == "memory: the process takes 300 MB and began with 50; more than 242 ends it"


def test_sentences_are_whole_known_and_the_same_while_figures_change() -> None:
    worst = {
        "undervoltage": True,
        "throttled": True,
        "soc_temp_c": 83.0,
        "disk_free_mb": 1.0,
        "anonymous_mb": 230.0,
        "unsynced_s": 7000.0,
    }
    found = complaints(condition(**{**WELL, **worst}))
    assert len(found) == 6
    assert set(found) <= set(PROBLEM_CODES)
    assert all(len(text.encode()) <= MAX_SENTENCE_BYTES for text in found.values())
    worse = {**worst, "soc_temp_c": 84.5, "disk_free_mb": 0.5, "anonymous_mb": 231.0, "unsynced_s": 8000.0}
    assert complaints(condition(**{**WELL, **worse})) == found
