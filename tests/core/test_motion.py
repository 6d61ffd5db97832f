"""The motion gate: what enters is seen, what stands still or only seems to move is left to `idle_fps`."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from edged.core.background import LEARN_S, Background
from edged.core.motion import GAP_S, HOLD_S, Grid, MotionGate
from edged.core.trigger import Decider
from edged.core.types import FULL, Box, Frame, Region
from tests.conftest import EMULATED
from tests.fakes import rule
from tests.visits import (
    DOOR,
    SIZES,
    WHOLE,
    Scene,
    Visit,
    call,
    cross,
    fade,
    forbidden,
    missed,
    scores,
    stay,
    step,
    story,
    watch,
)

RATES = [5] if EMULATED else [1, 5, 10, 30]
"""Frames a second; emulated, one of them: numpy calls the same code for all."""

IDLE_FPS = 0.5
NEVER = 1e-6
"""idle_fps so low that only movement makes a region due."""
LATE_S = 1.0 / IDLE_FPS + HOLD_S
"""By how much events may be apart from those of a run without a gate."""
DELAYS = ({"delay_on_s": 0.0, "delay_off_s": 0.0}, {"delay_on_s": 0.5, "delay_off_s": 3.0})


def decided(_: Region) -> bool:
    return False


def due_s(scene: Scene, region: Region = WHOLE, idle_fps: float = NEVER) -> list[float]:
    """Seconds of the scene at which the region is due."""
    gate = MotionGate((region,), idle_fps, decided)
    return [frame.t_s - scene.t0_s for frame in scene.frames() if gate.due(frame)]


def between(times_s: Iterable[float], begin_s: float, end_s: float = math.inf) -> list[float]:
    return [t_s for t_s in times_s if begin_s <= t_s < end_s]


# What enters


@pytest.mark.parametrize("seed", range(4 if EMULATED else 48))
def test_every_visit_is_told_as_without_a_gate(seed: int) -> None:
    scene, regions = story(seed), (WHOLE, DOOR)
    rules = [rule(one.name, label="visitor", region=one.name, **DELAYS[seed % 2]) for one in regions]

    def score(t_s: float, region: Region) -> np.ndarray:
        return scores(scene, t_s, region)

    ungated = watch(scene.times(), regions, rules, score)
    gated = watch(scene.frames(), regions, rules, score, idle_fps=IDLE_FPS)
    assert ungated.events, scene.name
    for one in regions:
        expected, found = ungated.of(one.name), gated.of(one.name)
        assert [kind for _, kind, _ in found] == [kind for _, kind, _ in expected], scene.name
        assert not missed(expected, found, LATE_S), scene.name


@pytest.mark.parametrize(
    ("fps", "size"), [*((5, size) for size in SIZES), (1, SIZES[0]), (10, SIZES[0]), (30, SIZES[0])]
)
@pytest.mark.parametrize("contrast", [-12, 14, 60])
def test_a_twentieth_of_the_picture_is_seen_at_once_without_idle_fps(
    fps: float, size: tuple[int, int], contrast: float
) -> None:
    visit = Visit(stay(20.0, 1.5, 0.6, 0.4), 0.24, 0.21, contrast)
    found = due_s(Scene(3, fps, 21.0, (visit,), size, noise=2.0))
    assert not between(found, 15.0, 20.0)
    assert between(found, 20.0)[0] == 20.0


@pytest.mark.parametrize("seconds", [2.0, 5.0, 10.0])
def test_what_fades_in_slowly_is_seen_before_it_is_there(seconds: float) -> None:
    visit = Visit(fade(20.0, seconds, 5.0, 0.4, 0.6), 0.3, 0.3, 40.0)
    found = due_s(Scene(4, 10, 30.0, (visit,), noise=2.0))
    assert between(found, 20.0)[0] <= 20.0 + seconds / 2.0


def test_who_walks_through_is_due_all_the_way_and_for_a_moment_after() -> None:
    visit = Visit(cross(20.0, 6.0, 0.5, 0.2), 0.2, 0.5, 50.0)
    found = due_s(Scene(4, 10, 60.0, (visit,)))
    assert len(between(found, 20.5, 26.0)) == 55
    assert between(found, 26.0)[-1] >= 25.5 + HOLD_S
    assert not between(found, 40.0)


def test_what_stopped_is_background_after_a_while_and_is_seen_again_when_it_goes() -> None:
    visit = Visit(call(20.0, 2.0, 30.0, 0.5, 0.5, 0.3), 0.3, 0.4, 50.0)
    found = due_s(Scene(5, 10, 60.0, (visit,)))
    assert len(between(found, 20.5, 22.0 + HOLD_S)) == round((1.5 + HOLD_S) * 10)
    assert not between(found, 40.0, 52.0)
    assert between(found, 52.0)[0] <= 52.3


def test_what_stood_there_is_seen_when_it_begins_to_fade_away() -> None:
    visit = Visit(fade(20.0, 1.5, 8.0, 0.6, 0.6), 0.45, 0.6, 58.0)
    found = due_s(Scene(9, 30, 31.0, (visit,), (60, 80), noise=0.0))
    assert between(found, 29.5)[0] <= 30.1


@pytest.mark.parametrize("light", [step(20.0, 1.0, 0.5), step(18.0, 1.0, 1.4, 6.0)])
def test_who_enters_while_the_light_changes_is_seen(light: Callable[[float], float]) -> None:
    # Long after the light alone would have made it due.
    visit = Visit(call(26.0, 2.0, 3.0, 0.5, 0.5, 0.3), 0.3, 0.4, 40.0)
    found = due_s(Scene(5, 10, 34.0, (visit,), light=light))
    assert between(found, 26.0)[0] <= 26.4


def test_only_the_region_in_which_it_moves_is_due() -> None:
    left = Region("left", Box(0.0, 0.0, 0.3, 1.0), "stretch")
    right = Region("right", Box(0.7, 0.0, 1.0, 1.0), "stretch")
    visit = Visit(stay(20.0, 3.0, 0.15, 0.5), 0.2, 0.3, 50.0)
    gate = MotionGate((left, right), NEVER, decided)
    due = [(frame.t_s, tuple(gate.due(frame))) for frame in Scene(5, 10, 25.0, (visit,)).frames()]
    assert {regions for t_s, regions in due if t_s > 110.0} == {(), (left,)}


def test_a_small_region_needs_no_larger_visitor_than_a_large_one() -> None:
    """A quarter of the region, wherever it lies and however small it is."""
    for side in (0.15, 0.3, 0.6, 1.0):
        region = Region("part", Box(0.0, 1.0 - side, side, 1.0), "stretch")
        visit = Visit(stay(20.0, 3.0, side / 2, 1.0 - side / 2), side / 2, side / 2, 40.0)
        found = due_s(Scene(8, 10, 22.0, (visit,), (160, 120), noise=2.0), region)
        assert not between(found, 10.0, 20.0)
        assert between(found, 20.0)[0] == 20.0, side


def test_what_happens_behind_a_mask_is_not_seen() -> None:
    visit = Visit(stay(20.0, 3.0, 0.25, 0.5), 0.3, 0.4, 50.0)
    scene = Scene(5, 10, 25.0, (visit,), masks=(Box(0.0, 0.0, 0.5, 1.0),))
    assert not between(due_s(scene), 10.0)
    assert between(due_s(replace(scene, masks=(Box(0.5, 0.0, 1.0, 1.0),))), 10.0)[0] == 20.0


def test_who_comes_every_few_seconds_is_seen_each_time() -> None:
    """On a busy road cars are no leaves, for as long as it takes."""
    begins_s = [20.0 + 6.0 * number for number in range(40)]
    visits = tuple(Visit(cross(begin_s, 2.0, 0.6, 0.25), 0.25, 0.3, 70.0) for begin_s in begins_s)
    found = due_s(Scene(5, 10, 260.0, visits))
    for begin_s in begins_s:
        assert between(found, begin_s)[0] <= begin_s + 0.6


def test_a_camera_that_never_rests_keeps_the_gate_open() -> None:
    """What is all over the picture is no noise that one could get used to."""
    wide = Scene(9, 10, 0.2, size=(800, 60), noise=0.0)
    panorama = next(wide.frames()).luma
    gate, closed = MotionGate((WHOLE,), NEVER, decided), 0
    for index in range(1800):
        left = round(360 + 355 * math.sin(index / 25.0))
        closed += not gate.due(Frame(forbidden, index / 10.0, panorama[:, left : left + 80]))
    assert closed <= 18


# What only seems to move


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0, 20.0])
def test_a_still_scene_is_left_to_idle_fps(fps: float, noise: float) -> None:
    found = due_s(Scene(5, fps, 60.0, noise=noise), idle_fps=IDLE_FPS)
    share = len(between(found, 10.0)) / (50.0 * fps)
    assert IDLE_FPS / fps <= share + 1.0 / (50.0 * fps)
    assert share <= 1.2 * IDLE_FPS / fps


def test_noise_that_grows_at_nightfall_does_not_keep_it_open() -> None:
    scene, night = Scene(5, 10, 30.0, noise=2.0), Scene(5, 10, 60.0, noise=25.0, light=lambda _: 0.4, t0_s=130.0)
    gate = MotionGate((WHOLE,), NEVER, decided)
    found = [frame.t_s for one in (scene, night) for frame in one.frames() if gate.due(frame)]
    assert len(between(found, 140.0)) <= 0.02 * 500


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(
    "light",
    [
        step(20.0, 1.0, 0.1),
        step(20.0, 0.1, 1.0),
        step(20.0, 1.0, 1.5),
        step(20.0, 1.0, 0.3, 1.0),
        lambda t_s: 2.5 if 20.0 <= t_s < 20.2 or 20.5 <= t_s < 20.6 else 1.0,
    ],
    ids=["off", "on", "brighter", "dimmed", "lightning"],
)
def test_another_light_is_looked_at_once(light: Callable[[float], float], fps: float) -> None:
    found = between(due_s(Scene(6, fps, 60.0, light=light)), 10.0)
    assert 20.0 <= found[0] <= 21.0
    assert found[-1] <= 26.0


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(
    "changes",
    [
        {"light": step(20.0, 1.0, 1.4, 6.0)},
        {"light": step(20.0, 1.0, 0.6, 6.0)},
        {"offset": step(20.0, 0.0, 30.0, 6.0)},
        {"light": step(20.0, 1.0, 1.4, 6.0), "masks": (Box(0.0, 0.0, 0.7, 0.8),)},
    ],
    ids=["up", "down", "offset", "masked"],
)
def test_the_camera_s_exposure_is_no_movement(changes: dict, fps: float) -> None:
    assert not between(due_s(Scene(6, fps, 60.0, **changes)), 10.0)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("levels", [12.0, 40.0])
def test_leaves_that_sway_become_background(levels: float, fps: float) -> None:
    leaves = ((Box(0.6, 0.0, 1.0, 0.5), levels, 1.7),)
    visit = Visit(stay(100.0, 3.0, 0.3, 0.6), 0.3, 0.3, 30.0)
    found = due_s(Scene(6, fps, 102.0, (visit,), swaying=leaves))
    assert not between(found, 40.0, 100.0)
    assert between(found, 100.0)[0] == 100.0


def test_a_light_that_keeps_changing_is_no_news_after_a_minute() -> None:
    found = due_s(Scene(6, 10, 120.0, light=lambda t_s: (1.0, 0.6, 0.9, 0.5, 1.2, 0.7)[int(t_s / 1.3) % 6]))
    assert not between(found, 60.0)


def test_masked_cells_do_not_follow_the_light() -> None:
    cells = np.linspace(40.0, 160.0, 90, dtype=np.float32)
    cells[::3] = 0.0
    background = Background(90)
    background.learn(cells)
    for number in range(1, 100):
        brighter = np.where(cells > 0.0, cells + number * 0.4, 0.0).astype(np.float32)
        assert background.follow(brighter, 0.1) == 0


# What else makes a region due


def test_the_beginning_a_gap_and_another_size_are_learnt_anew() -> None:
    scene = Scene(7, 10, 20.0)
    later = replace(scene, t0_s=scene.t0_s + 20.0 + GAP_S)
    other = replace(scene, t0_s=later.t0_s + 20.0, size=(160, 90))
    soon = replace(other, t0_s=other.t0_s + 20.0 + GAP_S / 2, seconds=5.0)
    gate = MotionGate((WHOLE,), NEVER, decided)
    found = [frame.t_s for one in (scene, later, other, soon) for frame in one.frames() if gate.due(frame)]
    for one in (scene, later, other):
        assert len(between(found, one.t0_s, one.t0_s + 20.0)) == round(LEARN_S * 10)
    assert not between(found, soon.t0_s)


@pytest.mark.parametrize(
    ("fps", "idle_fps"), [(10, 0.5), (10, 2.0), (7, 0.5), (3, 1.0), (1, 0.5), (0.7, 0.5), (30, 0.1)]
)
def test_idle_fps_is_kept_in_seconds(fps: float, idle_fps: float) -> None:
    found = due_s(Scene(7, fps, 60.0), idle_fps=idle_fps)
    apart = np.diff(found)
    assert apart.max() <= max(1.0 / idle_fps, 1.0 / fps) + 1e-6
    assert between(found, 10.0)
    assert len(between(found, 10.0)) <= 50.0 / max(1.0 / idle_fps - 1.0 / fps, 1.0 / fps) + 1


def test_a_region_with_an_undecided_rule_is_due() -> None:
    asks = {"full": False, "door": False}
    gate = MotionGate((WHOLE, DOOR), NEVER, lambda region: asks[region.name])
    frames = list(Scene(7, 10, 10.0).frames())
    for frame in frames[:60]:
        gate.due(frame)
    assert not gate.due(frames[60])
    asks["door"] = True
    assert list(gate.due(frames[61])) == [DOOR]
    asks["door"] = False
    assert not gate.due(frames[62])


def test_a_decider_is_undecided_where_the_next_picture_counts() -> None:
    decider = Decider([rule("a", label="x", delay_on_s=1.0, delay_off_s=1.0, refractory_s=2.0)], ["x"])

    def after(t_s: float, score: float) -> bool:
        decider.update(WHOLE, t_s, np.array([score], dtype=np.float32))
        return decider.undecided(WHOLE)

    assert decider.undecided(WHOLE)  # nothing is known yet
    assert not decider.undecided(DOOR)  # no rule of it
    assert not after(0.0, 0.1)  # IDLE
    assert after(1.0, 0.9)  # PENDING
    assert not after(2.0, 0.9)  # ACTIVE, on
    assert after(3.0, 0.1)  # ACTIVE, off
    assert not after(4.0, 0.1)  # REFRACTORY
    assert after(5.0, 0.9)  # REFRACTORY, on: starts as soon as that is over
    assert not after(5.5, 0.1)
    decider.blind(6.0, "camera_lost")
    assert decider.undecided(WHOLE)  # unknown again
    assert not after(7.0, 0.1)


def test_it_comes_back_after_a_blind_moment_without_movement() -> None:
    """The state is unknown until the region is decided anew: the first frame is due, moved or not."""
    decider = Decider([rule("a", label="visitor")], ["visitor"])
    gate = MotionGate((WHOLE,), NEVER, decider.undecided)
    frames = list(Scene(7, 10, 10.0).frames())
    for frame in frames[:80]:
        for region in gate.due(frame):
            decider.update(region, frame.t_s, np.zeros(1, dtype=np.float32))
    assert not gate.due(frames[80])
    decider.blind(frames[80].t_s, "camera_lost")
    assert gate.due(frames[81])


# What it costs


def test_nothing_grows_with_the_frames() -> None:
    frames = [frame.luma for frame in Scene(7, 10, 10.0).frames()]
    gate = MotionGate((WHOLE, DOOR), IDLE_FPS, decided)

    def play(begin: int, count: int) -> None:
        for index in range(begin, begin + count):
            gate.due(Frame(forbidden, index / 10.0, frames[index % 100]))

    play(0, 200)
    tracemalloc.start()
    try:
        play(200, 300)
        before = tracemalloc.get_traced_memory()[0]
        play(500, 2000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= 2048
    assert peak - before <= 64 * 1024


# The grid


@pytest.mark.parametrize(
    "shape", [(60, 80), (90, 160), (61, 107), (120, 160), (480, 640), (1080, 1920), (9, 300), (1, 1)]
)
def test_cells_are_the_means_of_what_they_cover(shape: tuple[int, int]) -> None:
    height, width = shape
    luma = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    grid = Grid(height, width)
    cells = grid.of(luma).reshape(grid.means.shape)
    rows, columns = cells.shape
    assert rows * columns <= 1500
    assert grid.of(np.full(shape, 255, np.uint8)).tolist() == [255.0] * cells.size
    if height < 192:  # larger ones are sampled
        side = min(height // rows, width // columns)
        top, left = (height - rows * side) // 2, (width - columns * side) // 2
        assert height - rows * side < side
        assert width - columns * side < side
        block = luma[top : top + side, left : left + side]
        assert grid.of(luma)[0] == pytest.approx(block.mean(), abs=1e-3)


@pytest.mark.parametrize("shape", [(60, 80), (61, 107), (480, 640), (2, 3)])
@pytest.mark.parametrize("box", [FULL, Box(0.0, 0.0, 0.01, 0.01), Box(0.99, 0.99, 1.0, 1.0), Box(0.3, 0.2, 0.7, 0.25)])
def test_a_region_has_the_cells_that_it_touches(shape: tuple[int, int], box: Box) -> None:
    grid = Grid(*shape)
    part = grid.means[grid.part(box)]
    assert part.size >= 1
    assert (part.size == grid.means.size) or box is not FULL
    luma = np.zeros(shape, np.uint8)
    left, top, right, bottom = box.pixels(shape[1], shape[0])
    luma[top:bottom, left:right] = 255
    grid.of(luma)
    # All that shines is in the region, but for the strips at the edges that no cell covers.
    assert part.sum() == pytest.approx(grid.means.sum())
