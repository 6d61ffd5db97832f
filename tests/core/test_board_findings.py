"""What the figures of a board mean, at and around each limit."""

from __future__ import annotations

import pytest

from edged.core import board_findings as board
from edged.core.findings import Finding

NOW_S = 1_795_341_600.0


def status(finding: Finding) -> str:
    assert bool(finding.advice) == (finding.status in ("warning", "problem")), "advice where there is something to do"
    return finding.status


@pytest.mark.parametrize(
    ("temp_c", "expected"),
    [(None, "not available"), (-20.0, "ok"), (74.9, "ok"), (75.0, "warning"), (79.9, "warning"), (80.0, "problem")],
)
def test_temperature(temp_c: float | None, expected: str) -> None:
    assert status(board.temperature(temp_c)) == expected


@pytest.mark.parametrize(
    ("undervoltage", "throttled", "expected"),
    [
        (None, None, "not available"),
        (False, None, "ok"),
        (None, False, "ok"),
        (False, False, "ok"),
        (True, None, "problem"),
        (True, True, "problem"),
        (False, True, "warning"),
        (None, True, "warning"),
    ],
)
def test_power(undervoltage: bool | None, throttled: bool | None, expected: str) -> None:
    assert status(board.power(undervoltage, throttled)) == expected


def test_power_says_only_what_it_knows() -> None:
    assert board.power(False, None).found == "no under-voltage now"
    assert board.power(None, False).found == "not slowed down now"


@pytest.mark.parametrize(
    ("is_synced", "setter", "utc_s", "expected", "word"),
    [
        (True, "chrony", NOW_S, "ok", "chrony"),
        (True, None, NOW_S, "ok", "time server"),
        (False, "chrony", NOW_S, "warning", "chrony runs"),
        (False, None, NOW_S, "warning", "no time server"),
        (False, "chrony", 0.0, "warning", "before 2025"),
        (False, None, 0.0, "warning", "before 2025"),
    ],
)
def test_clock(is_synced: bool, setter: str | None, utc_s: float, expected: str, word: str) -> None:
    found = board.clock(is_synced, setter, utc_s)
    assert status(found) == expected
    assert word in found.found


@pytest.mark.parametrize(
    ("total_mb", "available_mb", "has_cgroup", "limit_mb", "expected"),
    [
        (None, None, True, 450.0, "not available"),
        (450.0, None, True, None, "not available"),
        (450.0, 200.0, None, None, "ok"),
        (450.0, 200.0, True, 450.0, "ok"),
        (450.0, 200.0, None, 450.0, "ok"),
        (450.0, 200.0, False, None, "ok"),
        (450.0, 200.0, False, 450.0, "warning"),
        (450.0, 47.0, True, 450.0, "warning"),
        (450.0, 48.0, True, 450.0, "ok"),
    ],
)
def test_memory(
    total_mb: float | None, available_mb: float | None, has_cgroup: bool | None, limit_mb: float | None, expected: str
) -> None:
    assert status(board.memory(total_mb, available_mb, has_cgroup, limit_mb)) == expected


def test_memory_says_what_to_write_where_a_limit_does_not_bind() -> None:
    assert "cgroup_enable=memory" in board.memory(450.0, 200.0, False, 450.0).advice
    assert "cmdline.txt" in board.memory(450.0, 200.0, False, 450.0).advice


@pytest.mark.parametrize(
    ("free_mb", "is_read_only", "expected"),
    [
        (99.9, False, "problem"),
        (100.0, False, "warning"),
        (255.9, False, "warning"),
        (256.0, False, "ok"),
        (9e4, True, "problem"),
    ],
)
def test_disk(free_mb: float, is_read_only: bool, expected: str) -> None:
    assert status(board.disk("/var/lib/edged", free_mb, is_read_only)) == expected


def test_a_disk_that_may_not_be_looked_at_is_no_problem() -> None:
    found = board.disk("/var/lib/edged", None, is_read_only=False)
    assert (found.status, found.advice) == ("not available", "run it with sudo")


@pytest.mark.parametrize(
    ("heaps", "media", "is_wanted", "expected"),
    [
        (2, 4, True, "ok"),
        (2, 4, False, "ok"),
        (0, 4, True, "problem"),
        (2, 0, True, "problem"),
        (0, 0, False, "not available"),
    ],
)
def test_csi(heaps: int, media: int, is_wanted: bool, expected: str) -> None:
    assert status(board.csi(heaps, media, is_wanted)) == expected


def test_csi_names_what_the_kernel_lacks() -> None:
    assert "no DMA heaps:" in board.csi(0, 4, False).found
    assert "no media devices:" in board.csi(2, 0, False).found
    assert "no DMA heaps and no media devices:" in board.csi(0, 0, False).found
