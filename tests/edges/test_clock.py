"""The machine's own clocks."""

from __future__ import annotations

import time

import pytest

from edged.edges import clock
from edged.edges.clock import ClipClock, SystemClock


def test_monotonic_never_goes_backwards_and_sleep_lets_it_pass() -> None:
    clock = SystemClock()
    moments = [clock.monotonic() for _ in range(1000)]
    assert moments == sorted(moments)
    clock.sleep(0.01)
    assert clock.monotonic() >= moments[-1] + 0.01


def test_a_label_is_the_wall_time_of_that_moment() -> None:
    clock = SystemClock()
    before, labelled, after = time.time(), clock.label(clock.monotonic()), time.time()
    # Both clocks are read one after the other: what passes in between is the error.
    assert before - 1.0 <= labelled.utc_s <= after + 1.0
    hour_ago = clock.label(clock.monotonic() - 3600.0)
    assert labelled.utc_s - hour_ago.utc_s == pytest.approx(3600.0, abs=1.0)


def test_the_label_says_whether_the_clock_can_be_trusted() -> None:
    clock = SystemClock()
    synced = clock.is_synced()
    assert clock.label(0.0).clock == ("synced" if synced else "unsynced")
    assert clock.is_synced() is synced  # asking changes nothing


def test_age_is_told_in_milliseconds_and_never_negative() -> None:
    clock = SystemClock()
    age_ms = clock.age_ms(clock.monotonic() - 2.0)
    assert age_ms is not None
    assert 2000 <= age_ms < 60_000
    assert clock.age_ms(clock.monotonic() + 100.0) == 0


def test_a_clips_moments_are_told_at_its_own_pace_and_have_no_age() -> None:
    clock = ClipClock()
    first, later = clock.label(10.0), clock.label(12.5)
    assert later.utc_s - first.utc_s == pytest.approx(2.5, abs=1e-6)
    assert clock.label(10.0).utc_s == first.utc_s
    assert clock.age_ms(10.0) is None


@pytest.mark.parametrize(
    ("trace", "name"),
    [("run/systemd/timesync", "systemd-timesyncd"), ("run/chrony", "chrony"), ("run/ntpd.pid", "ntpsec")],
)
def test_what_sets_the_clock_is_told_by_what_it_leaves(tmp_path, trace, name):
    assert clock.setter(tmp_path) is None
    (tmp_path / trace).mkdir(parents=True)
    assert clock.setter(tmp_path) == name
