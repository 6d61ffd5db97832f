"""Whether what a real driver delivers can be trusted: black, white and frozen pictures, and back by itself."""

from __future__ import annotations

import pytest

from tests.vm.vivid import Vivid, WatchedCamera

SLOWLY, NOT = 4, 3
"""Of the control horizontal_movement."""
BARS, BLACK, WHITE = 0, 5, 6
"""Of the control test_pattern."""


@pytest.mark.parametrize(("pattern", "word"), [(BLACK, "black"), (WHITE, "white")])
def test_a_picture_that_shows_nothing_is_a_fault_and_over_with_the_next_that_does(
    vivid: Vivid, camera: WatchedCamera, pattern: int, word: str
) -> None:
    vivid.set("osd_text_mode", 2)
    vivid.set("horizontal_movement", SLOWLY)
    camera.open(judged=True)
    camera.frames(5)
    vivid.set("test_pattern", pattern)
    blind = camera.wait_for("blind")
    assert blind["reason"] == "camera_fault"
    assert word in blind["text"]
    vivid.set("test_pattern", BARS)
    camera.wait_for("frame", after=blind["number"])


def test_the_same_picture_for_a_minute_is_frozen_and_opened_anew(vivid: Vivid, camera: WatchedCamera) -> None:
    vivid.set("osd_text_mode", 2)
    vivid.set("horizontal_movement", SLOWLY)
    camera.open(judged=True)
    last = camera.frames(5)[-1]
    vivid.set("horizontal_movement", NOT)
    blind = camera.wait_for("blind", after=last["number"])
    assert blind["reason"] == "camera_fault"
    assert "the very same picture" in blind["text"]
    assert blind["t_s"] - last["t_s"] >= 59.0
    vivid.set("horizontal_movement", SLOWLY)
    camera.wait_for("frame", after=blind["number"])
