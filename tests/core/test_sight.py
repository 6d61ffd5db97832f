"""Pictures that cannot be trusted: found, named, and trusted again, by seconds and never by numbers of pictures."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.core import sight
from edged.core.outlook import ACCEPT_S
from edged.core.sight import SENTENCES, Sight
from edged.core.types import Box, Frame, Pixels
from tests.conftest import LONG
from tests.views import ALIVE, SIZE, door, even, half, lamp, noisy, place, shot

BARE = {"black": even(16.0), "blinded": even(252.0), "covered": even(110.0, 40.0)}


class Watch:
    """A judge with a camera in front of it that gives so many pictures a second.

    Attributes:
        said: every change of what it says, as (seconds since the last `show` began, name or None).
    """

    def __init__(self, judge: Sight | None = None, fps: float = 4.0, t_s: float = 100.0) -> None:
        self.judge, self.fps, self.t_s = judge or Sight(), fps, t_s
        self.now: str | None = None
        self.said: list[tuple[float, str | None]] = []

    def show(self, pictures: Iterable[Pixels], seconds: float, *, repeated: bool = False) -> list[str | None]:
        """Shows pictures for that long: the names that are said, each change of them once."""
        began_s = self.t_s
        self.said = []
        for luma in itertools.islice(pictures, round(seconds * self.fps)):
            text = self.judge.judge(shot(luma, self.t_s, repeated=repeated))
            name = next((name for name, sentence in SENTENCES.items() if sentence == text), text)
            if name != self.now:
                self.said.append((round(self.t_s - began_s, 3), name))
                self.now = name
            self.t_s += 1.0 / self.fps
        return [name for _, name in self.said]


def learnt(luma: Pixels, **how: float) -> Watch:
    """A watch that knows this view."""
    watch = Watch(**how)  # type: ignore[arg-type]
    assert watch.show(noisy(luma, 1.0), 90.0) == []
    return watch


@pytest.mark.parametrize("name", BARE)
@pytest.mark.parametrize("fps", [0.1, 0.7, 5.0, 30.0])
def test_a_picture_that_shows_nothing_is_a_fault_for_as_long_as_it_lasts(name: str, fps: float) -> None:
    watch = Watch(fps=fps)
    assert watch.show(noisy(place(), 1.0), max(20.0, 3.0 / fps)) == []
    assert watch.show(noisy(BARE[name], 0.7), max(60.0, 5.0 / fps)) == [name]
    ((after_s, _),) = watch.said
    assert sight.LASTS_S <= after_s <= sight.LASTS_S + max(1.0, 2.0 / fps)
    assert watch.show(noisy(place(), 1.0), max(60.0, 5.0 / fps)) == [None]
    ((after_s, _),) = watch.said
    assert sight.GONE_S <= after_s <= sight.GONE_S + max(1.0, 1.01 / fps)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("name", BARE)
def test_the_noise_of_a_sensor_is_no_detail(name: str, sigma: float) -> None:
    watch = Watch()
    watch.show(noisy(place(), sigma), 20.0)
    assert watch.show(noisy(BARE[name], sigma), 30.0) == [name]


@pytest.mark.parametrize("name", BARE)
def test_what_is_bare_from_the_beginning_is_found_too(name: str) -> None:
    assert Watch().show(noisy(BARE[name], 0.7), 30.0) == [name]


def test_a_moment_without_a_picture_is_no_fault() -> None:
    watch = Watch()
    for _ in range(5):
        watch.show(noisy(place(), 1.0), 6.0)
        assert watch.show(noisy(even(255.0), 0.5), 4.0) == []


def test_a_moment_of_sight_ends_no_fault() -> None:
    watch = Watch()
    watch.show(noisy(even(20.0), 0.5), 20.0)
    assert watch.show(noisy(place(), 1.0), 1.5) + watch.show(noisy(even(20.0), 0.5), 20.0) == []


@pytest.mark.parametrize(
    "scene", [lamp(), lamp(0.0), door(), door(90.0)], ids=["lamp", "dark lamp", "door", "grey door"]
)
def test_little_is_not_nothing(scene: Pixels) -> None:
    assert Watch().show(noisy(scene, 0.7), 60.0) == []


def faint(levels: float) -> Pixels:
    """A surface with something on it that is so much lighter, to half a level."""
    scene = even(100.0)
    scene[10:30, 10:30] += int(levels)
    scene[10:30, 10:30:2] += round(2 * levels) % 2
    return scene


def test_faint_is_not_nothing_and_fainter_is() -> None:
    assert Watch().show(itertools.repeat(faint(5.0)), 30.0) == []
    assert Watch().show(itertools.repeat(faint(3.0)), 30.0) == ["covered"]


def test_at_the_border_between_something_and_nothing_nothing_flaps() -> None:
    watch = Watch()
    assert watch.show(itertools.repeat(faint(3.5)), 20.0) == ["covered"]
    for _ in range(5):
        assert watch.show(itertools.repeat(faint(4.5)), 20.0) + watch.show(itertools.repeat(faint(3.5)), 20.0) == []
    assert watch.show(itertools.repeat(faint(7.0)), 20.0) == [None]
    assert watch.show(itertools.repeat(faint(4.5)), 20.0) == []


def test_a_name_does_not_flap_where_dark_is_as_good_as_black() -> None:
    watch = Watch()
    watch.show(noisy(even(30.0), 0.5), 20.0)
    assert watch.now == "black"
    dimming = (even(32.0 + 4.0 * np.sin(index / 5.0)) for index in itertools.count())
    assert watch.show(dimming, 60.0) == []
    assert watch.show(noisy(even(60.0), 0.5), 10.0) == ["covered"], "another name, without a moment of trust"
    assert watch.show(noisy(even(250.0), 0.5), 10.0) == ["blinded"]


@pytest.mark.parametrize("fps", [0.02, 0.1, 1.0, 10.0])
def test_the_same_bytes_for_a_minute_are_frozen_at_any_rate(fps: float) -> None:
    watch = Watch(fps=fps)
    watch.show(noisy(place(), 1.0), max(10.0, 4.0 / fps))
    assert watch.show(noisy(place(), 0.0), max(200.0, 8.0 / fps), repeated=True) == ["frozen"]
    ((after_s, _),) = watch.said
    # The picture before was the first of them.
    assert after_s + 1.0 / fps >= max(sight.FROZEN_S, sight.FROZEN_REPEATS / fps)
    assert after_s <= max(sight.FROZEN_S, sight.FROZEN_REPEATS / fps)
    assert watch.show(noisy(place(), 1.0), max(20.0, 5.0 / fps)) == [None]


@LONG
def test_a_still_scene_between_two_key_frames_is_not_frozen() -> None:
    watch = Watch(fps=10.0)
    for _ in range(30):
        assert watch.show(noisy(place(), 0.0), 0.1) == []
        assert watch.show(noisy(place(), 0.0), 20.0, repeated=True) == []


@LONG
def test_a_stuck_encoder_that_gives_a_picture_a_minute_stays_frozen() -> None:
    watch = Watch(fps=2.0)
    watch.show(noisy(place(), 1.0), 5.0)
    assert watch.show(noisy(place(), 0.0), 100.0, repeated=True) == ["frozen"]
    for seed in range(10):
        assert watch.show(noisy(place(), 1.0, seed), 0.5) + watch.show(noisy(place(), 0.0), 69.5, repeated=True) == []
    assert watch.show(noisy(place(), 1.0), 10.0) == [None]


@LONG
@pytest.mark.parametrize("name", ALIVE)
def test_nothing_is_wrong_with_a_place_where_things_happen(name: str) -> None:
    for seed in (1, 2, 3):
        watch = learnt(place(seed))
        assert watch.show(ALIVE[name](place(seed)), 40.0) == []
        assert watch.show(noisy(place(seed), 1.0), 20.0) == []


@LONG
@pytest.mark.parametrize("fps", [0.2, 4.0])
def test_a_turned_camera_is_a_fault_until_it_is_turned_back(fps: float) -> None:
    watch = Watch(fps=fps)
    watch.show(noisy(place(1), 1.0), 120.0)
    assert watch.show(noisy(place(2), 1.0), 300.0) == ["turned"]
    ((after_s, _),) = watch.said
    assert sight.TURNED_S <= after_s <= sight.TURNED_S + max(10.0, 3.0 / fps)
    assert watch.show(noisy(even(12.0), 0.5), 120.0) == [], "night falls: that proves nothing"
    assert watch.show(noisy(place(1), 1.0), 120.0) == [None]


@LONG
def test_a_new_view_that_stays_becomes_the_view_and_the_old_one_is_remembered() -> None:
    watch = learnt(place(1), fps=2.0)
    assert watch.show(noisy(place(2), 1.0), ACCEPT_S + 60.0) == ["turned", None]
    assert ACCEPT_S <= watch.said[1][0] <= ACCEPT_S + 30.0
    assert watch.show(noisy(place(1), 1.0), 60.0) == [], "it was the view of this camera before"
    assert watch.show(noisy(place(3), 1.0), 60.0) == ["turned"]


@LONG
def test_a_view_that_keeps_changing_never_becomes_the_view() -> None:
    watch = learnt(place(1), fps=2.0)
    watch.show(noisy(place(2), 1.0), 60.0)
    for seed in range(3, 7):
        assert watch.show(noisy(place(seed), 1.0), ACCEPT_S / 3) == []
    assert watch.now == "turned"


@LONG
def test_whoever_walks_through_a_new_view_does_not_keep_it_from_being_learnt() -> None:
    watch = learnt(place(1), fps=2.0)
    for _ in range(16):
        watch.show(noisy(place(2), 1.0), 55.0)
        watch.show(noisy(half(place(2), place(9)), 1.0), 5.0)
    assert watch.now is None


@LONG
def test_a_view_follows_slow_changes() -> None:
    """Half an hour in which one place dissolves into another: no moment of it is a turn."""
    watch = learnt(place(1), fps=1.0)
    old, new = place(1).astype(float), place(2).astype(float)
    steps = (old + (new - old) * min(1.0, index / 3600.0) for index in itertools.count())
    assert watch.show((step.astype(np.uint8) for step in steps), 4000.0) == []


def test_after_an_interruption_counting_begins_anew_and_the_view_is_kept() -> None:
    watch = learnt(place(1))
    watch.show(noisy(place(2), 1.0), 6.0)
    watch.t_s += 3600.0
    assert watch.show(noisy(place(2), 1.0), 8.0) == []
    assert watch.show(noisy(place(2), 1.0), 20.0) == ["turned"]
    frozen = Watch()
    frozen.show(noisy(place(), 0.0), 50.0, repeated=True)
    frozen.judge.interrupt()
    assert frozen.show(noisy(place(), 0.0), 50.0, repeated=True) == []


def test_a_fault_outlives_an_interruption_until_it_is_gone() -> None:
    watch = Watch()
    watch.show(noisy(even(10.0), 0.5), 20.0)
    watch.t_s += 3600.0
    assert watch.show(noisy(even(10.0), 0.5), 20.0) == []
    watch.t_s += 3600.0
    assert watch.show(noisy(place(), 1.0), 10.0) == [None]


def test_masks_do_not_count() -> None:
    mask = Box(0.5, 0.0, 1.0, 1.0)

    def masked(luma: Pixels) -> Pixels:
        left, top, right, bottom = mask.covering(*SIZE)
        hidden = luma.copy()
        # One more on each side, as the camera does it where pixels are mixtures.
        hidden[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = 0
        return hidden

    # The border between mask and picture is the only edge, and the mean of what is seen is no darker for the mask.
    covered, white = masked(even(110.0)), masked(even(250.0))
    assert Watch(Sight([mask])).show(itertools.repeat(covered), 20.0) == ["covered"]
    assert Watch(Sight([mask])).show(itertools.repeat(white), 20.0) == ["blinded"]
    assert Watch(Sight()).show(itertools.repeat(covered), 20.0) == []
    watch = Watch(Sight([mask]))
    assert watch.show((masked(luma) for luma in noisy(place(), 1.0)), 90.0) == []
    assert watch.show((masked(luma) for luma in noisy(place(2), 1.0)), 30.0) == ["turned"]


def test_a_picture_of_another_size_is_another_picture_to_learn() -> None:
    watch = learnt(place(1))
    wide = place(2, (160, 90))
    assert watch.show(noisy(wide, 1.0), 90.0) == []
    assert watch.show(noisy(even(110.0, 0.0, (160, 90)), 1.0), 30.0) == ["covered"]


def test_where_next_to_nothing_is_to_be_seen_nothing_is_said() -> None:
    assert Watch().show(itertools.repeat(np.zeros((2, 2), np.uint8)), 60.0) == []
    everything = Sight([Box(0.0, 0.0, 1.0, 1.0)])
    assert Watch(everything).show(itertools.repeat(np.zeros((60, 80), np.uint8)), 60.0) == []


SIZES = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 12)), st.sampled_from([(60, 80), (90, 160), (480, 640), (1, 300)])
)


@settings(max_examples=80, deadline=None)
@given(
    shapes=st.lists(SIZES, min_size=1, max_size=3),
    masks=st.lists(st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)), max_size=3),
    steps_s=st.lists(st.sampled_from([0.0, 0.03, 0.5, 3.0, 60.0, 5000.0]), min_size=1, max_size=30),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_picture_of_any_size_is_too_much_for_it(shapes, masks, steps_s, seed) -> None:
    judge = Sight([Box(left, top, left + 0.1, top + 0.1) for left, top in masks])
    random = np.random.default_rng(seed)
    t_s = 0.0
    for index, step_s in enumerate(steps_s):
        t_s += step_s
        low, high = sorted(random.integers(0, 256, 2))
        luma = random.integers(low, high + 1, shapes[index % len(shapes)]).astype(np.uint8)
        assert judge.judge(shot(luma, t_s, repeated=bool(random.integers(0, 2)))) in (None, *SENTENCES.values())


@LONG
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    fps=st.sampled_from([0.1, 1.0, 7.0]),
    sigma=st.floats(0.0, 2.0),
    faults=st.lists(st.sampled_from([*BARE, "frozen"]), min_size=1, max_size=3),
)
def test_whatever_was_wrong_is_found_and_forgotten(seed, fps, sigma, faults) -> None:
    """Alive, then one fault for long enough, then alive again: each is found, and all is well again by itself."""
    watch, alive = Watch(fps=fps), noisy(place(seed), max(sigma, 0.5), seed)
    assert watch.show(alive, max(100.0, 8.0 / fps)) == []
    for name in faults:
        pictures = itertools.repeat(next(alive)) if name == "frozen" else noisy(BARE[name], sigma, seed)
        watch.show(pictures, max(100.0, 20.0 / fps), repeated=name == "frozen")
        assert watch.now == name
        watch.show(alive, max(30.0, 8.0 / fps))
        assert watch.now is None


@LONG
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), happenings=st.lists(st.sampled_from(sorted(ALIVE)), min_size=1, max_size=4))
def test_a_living_scene_is_never_at_fault(seed, happenings) -> None:
    watch = learnt(place(seed), fps=2.0)
    for name in happenings:
        assert watch.show(ALIVE[name](place(seed)), 25.0) == []


@LONG
def test_it_holds_no_more_after_an_hour_than_after_a_minute() -> None:
    watch = Watch(fps=2.0)
    pictures = itertools.cycle([*itertools.islice(noisy(place(), 1.0), 7), even(20.0)])
    watch.show(pictures, 100.0)
    tracemalloc.start()
    try:
        watch.show(pictures, 10.0)
        before, _ = tracemalloc.get_traced_memory()
        watch.show(pictures, 600.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2000


def test_between_two_studies_a_picture_is_not_even_decoded() -> None:
    judge, asked = Sight(), []

    def luma() -> Pixels:
        asked.append(len(asked))
        return place()

    for index in range(31):
        assert judge.judge(Frame(np.zeros((1, 1, 3), np.uint8), index / 30, luma)) is None
    assert len(asked) == 3, "at 0, 0.5 and 1 s"


def test_every_fault_has_its_own_sentence() -> None:
    assert len(set(SENTENCES.values())) == len(SENTENCES) == 5
