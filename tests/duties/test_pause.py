"""A camera that is closed while nobody may look."""

from __future__ import annotations

import threading

from edged.core.types import Blind, Frame
from edged.duties.pause import PausableCamera
from tests.fakes import FakeClock, ScriptedCamera, frame


def test_a_pause_closes_the_camera_and_its_end_opens_it_again() -> None:
    inner = ScriptedCamera([frame(1.0), frame(2.0), frame(3.0)])
    reasons = iter([None, "requested", "requested", None, None])
    with PausableCamera(inner, lambda: next(reasons), FakeClock(), threading.Event()) as camera:
        assert isinstance(camera.newest(0.0), Frame)
        paused = camera.newest(0.0)
        assert isinstance(paused, Blind)
        assert (paused.reason, paused.text) == ("paused", "requested")
        assert (inner.entered, inner.left) == (1, 1)
        camera.newest(0.0)
        assert (inner.entered, inner.left) == (1, 1), "closed once"
        camera.newest(0.0)
        camera.newest(0.0)
        assert inner.entered == 2
    assert inner.left == 2


def test_a_daemon_that_starts_paused_never_opens_the_camera() -> None:
    inner = ScriptedCamera([frame(1.0)])
    with PausableCamera(inner, lambda: "disabled", FakeClock(), threading.Event()) as camera:
        camera.newest(0.0)
    assert (inner.entered, inner.left) == (0, 0)


def test_time_never_goes_backwards_over_a_pause() -> None:
    """A clip's frames may be ahead of the clock; the decision must not see an earlier moment after them."""
    inner = ScriptedCamera([frame(5000.0)])
    reasons = iter([None, "requested"])
    with PausableCamera(inner, lambda: next(reasons), FakeClock(1000.0), threading.Event()) as camera:
        camera.newest(0.0)
        paused = camera.newest(0.0)
        assert paused is not None
        assert paused.t_s == 5000.0


def test_the_end_of_the_daemon_does_not_wait_for_a_pause() -> None:
    stop = threading.Event()
    stop.set()
    with PausableCamera(ScriptedCamera([]), lambda: "requested", FakeClock(), stop) as camera:
        camera.newest(3600.0)
