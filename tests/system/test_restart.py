"""A daemon that ends, well or not, and comes back: nothing is lost, nothing stays open, and nobody sees it go.

A seeded tenth of what `python -m benchmarks.reliability kills restarts` runs whole; each test prints what it ran.
"""

from __future__ import annotations

import os

import pytest

from benchmarks import reliability
from tests.conftest import EMULATED

FULL = bool(os.environ.get("EDGED_FULL"))

pytestmark = [
    pytest.mark.skipif(EMULATED, reason="dozens of process starts, each of which takes seconds under emulation"),
    pytest.mark.timeout(1800 if FULL else 300),
]


def test_what_was_stored_before_a_kill_arrives_and_nothing_stays_open(tmp_path, mosquitto):
    found = reliability.kills(100 if FULL else 10, 1, mosquitto.port, tmp_path)
    print(f"{found.kills} of 100 kills, {len(found.stored)} events, {found.closed_after} closed after a kill")
    assert found.stored, "something was stored"
    assert (found.holes, found.logs) == (0, 1), "one log without a hole"
    assert (found.waiting, found.missing) == (0, 0), "all of it arrived"
    assert found.left_open == 0
    assert found.closed_after > 0, "a start that a kill cut off has an end with the reason daemon_restarted"
    assert found.in_order
    assert found.one_id_each


def test_a_restart_within_five_seconds_is_not_seen(tmp_path, mosquitto):
    found = reliability.restarts(10 if FULL else 2, FULL, mosquitto.port, tmp_path)
    for name, away_s in found.away_s.items():
        print(f"{name}: away for {', '.join(f'{one:.1f}' for one in away_s)} s of 10 s")
        assert max(away_s) < 5.0, "this machine starts it too slowly for the test to say anything"
        assert "offline" not in found.words[name][: len(away_s) + 1]
        assert found.words[name].count("online") == len(away_s) + 1
    for name, after_s in found.offline_after_s.items():
        print(f"{name} without a start: offline after {after_s:.1f} s")
        assert 8.0 < after_s < 15.0
