"""What a long run leaves behind. CI and laptops run a tenth; `python -m benchmarks.endurance` runs the whole."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.endurance import run, surroundings
from tests.conftest import EMULATED

pytestmark = pytest.mark.skipif(EMULATED, reason="memory under emulation is the emulator's own")


def test_the_heap_does_not_grow_with_frames_and_events(mosquitto):
    """A tenth of 10,000 frames with 1,000 events acknowledged by a real broker."""
    with surroundings() as (port, folder):
        growth = run(1000, True, port, folder, warm_up=1000)
    assert growth.frames == 1000
    assert growth.events == 100
    assert growth.acknowledged >= 90, "the last ones may still be in flight"
    assert growth.heap_bytes <= 2048
    assert growth.heap_peak_bytes <= 128 * 1024


def test_resident_memory_does_not_grow_with_frames_and_events():
    """A tenth of 100,000 frames with 10,000 events, in a process of its own: this one's memory tells of every test."""
    growths = []
    # What leaks grows in every run; an allocator that takes a page more does so in one of them.
    for _ in range(3):
        growths.append(grown_alone(10_000))
        if growths[-1]["rss_bytes"] <= 256 * 1024:
            break
    assert growths[-1]["events"] == 1000
    assert growths[-1]["rss_bytes"] <= 256 * 1024, growths


def grown_alone(frames):
    """What a run of its own measures."""
    command = [sys.executable, "-m", "benchmarks.endurance", "--only", "rss", "--json", "--frames", str(frames)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
