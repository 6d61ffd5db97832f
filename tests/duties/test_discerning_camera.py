"""A camera around a camera that does not show what cannot be trusted."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator

import pytest

from edged.core.errors import CameraError
from edged.core.sight import SENTENCES, Sight
from edged.core.types import Blind, End, Frame, Look, Pixels
from edged.duties.sight import DiscerningCamera
from tests.fakes import ScriptedCamera, lost
from tests.views import even, noisy, place, shot


def shots(pictures: Iterable[Pixels], begin_s: float, end_s: float, *, repeated: bool = False) -> Iterator[Frame]:
    """Two pictures a second."""
    count = round(2 * (end_s - begin_s))
    for index, luma in enumerate(itertools.islice(pictures, count)):
        yield shot(luma, begin_s + index / 2, repeated=repeated)


def through(*script: Iterable[Look], sight: Sight | None = None) -> list[Look]:
    """What the camera around the camera makes of it all."""
    camera = DiscerningCamera(ScriptedCamera(itertools.chain(*script)), sight or Sight())
    looks: list[Look] = []
    with camera:
        while not looks or not isinstance(looks[-1], End):
            looks.append(camera.newest(0.5))
    return looks


def faults(looks: Iterable[Look]) -> list[str]:
    """The sentences of the faults, repeats in a row left out."""
    texts = [look.text for look in looks if isinstance(look, Blind) and look.reason == "camera_fault"]
    return [text for text, _ in itertools.groupby(texts)]


def alive() -> Iterator[Pixels]:
    return noisy(place(), 1.0)


def test_good_pictures_and_everything_else_come_through_as_they_are() -> None:
    script = [None, shot(place(), 1.0), lost(2.0), shot(place(), 3.0), None]
    looks = through(script)
    assert looks[:-1] == script
    assert all(given is made for given, made in zip(script, looks, strict=False))
    assert isinstance(looks[-1], End)


def test_a_picture_that_cannot_be_trusted_is_a_fault_and_later_ones_are_pictures_again() -> None:
    looks = through(shots(alive(), 0, 10), shots(noisy(even(15.0), 0.5), 10, 30), shots(alive(), 30, 50))
    assert faults(looks) == [SENTENCES["black"]]
    blind_s = [look.t_s for look in looks if isinstance(look, Blind)]
    assert (blind_s[0], blind_s[-1]) == (15.0, 31.5)
    assert isinstance(looks[-2], Frame)
    times_s = [look.t_s for look in looks if look is not None]
    assert times_s == sorted(times_s)


def test_time_never_goes_backwards() -> None:
    """The camera says itself at which moment it lost sight; a picture that was taken before that is not earlier."""
    late = [shot(even(15.0), t_s) for t_s in (20.5, 21.0)]
    looks = through(shots(noisy(even(15.0), 0.5), 0, 20), [lost(25.0)], late)
    assert [look.t_s for look in looks[-4:-1] if look is not None] == [25.0, 25.0, 25.0]
    assert all(isinstance(look, Blind) for look in looks[-4:-1])


def test_a_lost_camera_is_an_interruption() -> None:
    """Forty seconds of the same picture, lost and opened again, forty more: never a minute."""
    still = [shots(noisy(place(), 0.0), begin_s, begin_s + 40, repeated=True) for begin_s in (0, 41)]
    assert faults(through(still[0], [lost(40.5)], still[1])) == []
    assert faults(through(shots(noisy(place(), 0.0), 0, 81, repeated=True))) == [SENTENCES["frozen"]]


def test_so_is_a_camera_that_was_closed() -> None:
    inner = ScriptedCamera(shots(noisy(place(), 0.0), 0, 90, repeated=True))
    camera = DiscerningCamera(inner, Sight())
    looks: list[Look] = []
    for _ in range(2):
        with camera:
            looks += [camera.newest(0.5) for _ in range(80)]
    assert faults(looks) == []
    assert (inner.entered, inner.left) == (2, 2)


def test_what_was_dropped_is_the_cameras_number() -> None:
    inner = ScriptedCamera([])
    inner.dropped = 7
    assert DiscerningCamera(inner, Sight()).dropped == 7


def test_the_journal_says_it_once_down_and_once_up(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "edged.sight"):
        through(shots(alive(), 0, 10), shots(noisy(even(15.0), 0.5), 10, 70), shots(alive(), 70, 90))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"camera fault: {SENTENCES['black']}"),
        ("INFO", "the picture can be trusted again, after 57 s"),
    ]


def test_one_outage_of_several_kinds_says_each_of_them_once(caplog: pytest.LogCaptureFixture) -> None:
    levels = (15.0, 120.0, 250.0, 15.0, 120.0)
    with caplog.at_level(logging.INFO, "edged.sight"):
        through(
            shots(alive(), 0, 10),
            *(shots(noisy(even(level), 0.5), 10 + 20 * at, 30 + 20 * at) for at, level in enumerate(levels)),
            [lost(110.0)],
            shots(noisy(even(120.0), 0.5), 111, 120),
            shots(alive(), 120, 130),
            shots(noisy(even(15.0), 0.5), 130, 140),
        )
    warnings = [record.getMessage().partition(": ")[2] for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [SENTENCES[name] for name in ("black", "covered", "blinded", "black")]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3 + ["INFO", "WARNING"]


def test_a_frozen_camera_is_opened_anew_once_an_outage() -> None:
    asked: list[CameraError] = []
    frozen = shots(itertools.repeat(place()), 10, 300, repeated=True)
    script = itertools.chain(shots(alive(), 0, 10), frozen, shots(alive(), 300, 320))
    camera = DiscerningCamera(ScriptedCamera(script), Sight(), asked.append)
    with camera:
        while not isinstance(camera.newest(0.5), End):
            pass
    assert [(error.text, error.reason) for error in asked] == [(SENTENCES["frozen"], "camera_fault")]
    asked.clear()
    black = itertools.chain(shots(alive(), 0, 10), shots(noisy(even(15.0), 0.5), 10, 30))
    with DiscerningCamera(ScriptedCamera(black), Sight(), asked.append) as camera:
        while not isinstance(camera.newest(0.5), End):
            pass
    assert asked == [], "opening anew brings no light"
