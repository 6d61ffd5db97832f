"""What a long run leaves behind. CI and laptops run a tenth; `python -m benchmarks.endurance` runs the whole."""

from __future__ import annotations

import pytest

from benchmarks.endurance import run, surroundings
from tests.conftest import EMULATED

pytestmark = pytest.mark.skipif(EMULATED, reason="memory under emulation is the emulator's own")


def test_the_heap_does_not_grow_with_frames_and_events(mosquitto):
    """A tenth of 10,000 frames with 1,000 events acknowledged by a real broker."""
    with surroundings() as (port, folder):
        growth = run(1000, True, port, folder, warm_up=500)
    assert growth.frames == 1000
    assert growth.events == 100
    assert growth.acknowledged >= 90, "the last ones may still be in flight"
    assert growth.heap_bytes <= 2048
    assert growth.heap_peak_bytes <= 128 * 1024


def test_resident_memory_does_not_grow_with_frames_and_events(mosquitto):
    """A tenth of 100,000 frames with 10,000 events."""
    with surroundings() as (port, folder):
        growth = run(10_000, False, port, folder)
    assert growth.events == 1000
    assert growth.rss_bytes <= 256 * 1024
