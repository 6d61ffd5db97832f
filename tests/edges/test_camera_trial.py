"""A short look through a scripted camera: what comes of it, and that the camera is always given back."""

from __future__ import annotations

import numpy as np
import pytest

from edged.core.errors import CameraError
from edged.core.types import Box
from edged.edges import camera_trial
from tests.fakes import FakeClock
from tests.scenes import SIZE
from tests.scripted_source import ScriptedSource


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


def scene() -> np.ndarray:
    """A picture with sharp detail: bars of eight pixels."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:, (np.arange(SIZE[0]) // 8) % 2 == 1] = 220
    return picture


def test_size_encoding_and_rate_are_told() -> None:
    source = ScriptedSource()
    source.put(*((number / 10, scene()) for number in range(20)))
    trial = camera_trial.look(source, FakeClock(), (), 0)
    assert (trial.format.width_px, trial.format.height_px, trial.format.encoding) == (*SIZE, "bgr")
    assert trial.pictures == 20
    assert trial.rate_hz == pytest.approx(10.0)
    assert trial.bare is None
    assert source.closed == 1


@pytest.mark.parametrize(("level", "name"), [(3, "black"), (128, "covered"), (250, "blinded")])
def test_a_picture_that_shows_nothing_is_named(level: int, name: str) -> None:
    source = ScriptedSource()
    source.put(*((number / 10, level) for number in range(20)))
    assert camera_trial.look(source, FakeClock(), (), 0).bare == name


def test_a_first_picture_that_is_black_is_forgiven() -> None:
    source = ScriptedSource()
    source.put((0.0, 0), (0.1, 0), *((number / 10, scene()) for number in range(2, 20)))
    assert camera_trial.look(source, FakeClock(), (), 0).bare is None


def test_what_a_mask_hides_does_not_count() -> None:
    """Everything that is sharp lies behind the mask: what is left to see is even."""
    picture = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    picture[:, : SIZE[0] // 2] = scene()[:, : SIZE[0] // 2]
    for masks, name in (((), None), ((Box(0.0, 0.0, 0.6, 1.0),), "covered")):
        source = ScriptedSource()
        source.put(*((number / 10, picture) for number in range(20)))
        assert camera_trial.look(source, FakeClock(), masks, 0).bare == name


def test_a_slow_camera_is_not_waited_for_longer_than_it_takes_to_see() -> None:
    clock = FakeClock()

    class Slow(ScriptedSource):
        def grab(self) -> float | None:
            clock.advance(2.0)
            return clock.monotonic()

        def retrieve(self, out: object) -> None:
            self._picture = scene()
            super().retrieve(out)

    trial = camera_trial.look(Slow(), clock, (), 0)
    assert trial.pictures == 2
    assert trial.rate_hz is None


def test_a_clip_that_ends_is_no_trouble() -> None:
    source = ScriptedSource()
    source.put((0.0, noise(1)), None)
    assert camera_trial.look(source, FakeClock(), (), 0).pictures == 1


@pytest.mark.parametrize("step", [CameraError("it stopped"), (0.0, noise(1)[:1])])
def test_a_camera_that_fails_is_given_back(step: object) -> None:
    source = ScriptedSource()
    source.put(CameraError("it stopped") if isinstance(step, Exception) else step, CameraError("it stopped"))
    with pytest.raises(CameraError, match="it stopped"):
        camera_trial.look(source, FakeClock(), (), 0)
    assert source.closed == 1
    failing = ScriptedSource(CameraError("there is none"))
    with pytest.raises(CameraError, match="there is none"):
        camera_trial.look(failing, FakeClock(), (), 0)
    assert failing.closed == 1
