"""The motion gate whatever the camera does: sizes, rates, gaps and pictures by chance."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edged.core.motion import MotionGate
from edged.core.types import FULL, Box, Frame, Region
from tests.visits import forbidden

STEPS_S = st.sampled_from([0.0, 1e-6, 1 / 30, 0.1, 0.5, 1.0, 3.0, 5.0, 1e6])
SIDES = st.one_of(st.integers(1, 40), st.sampled_from([60, 61, 80, 90, 120, 160, 241]))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, top = draw(st.integers(0, 98)), draw(st.integers(0, 98))
    return Box(left / 100, top / 100, draw(st.integers(left + 1, 100)) / 100, draw(st.integers(top + 1, 100)) / 100)


@st.composite
def pictures(draw: st.DrawFn) -> list[np.ndarray]:
    """Lumas of one or two sizes: black, white, even, noise, or what comes from another camera."""
    found = []
    for _ in range(draw(st.integers(1, 2))):
        shape = draw(SIDES), draw(SIDES)
        random = np.random.default_rng(draw(st.integers(0, 9)))
        scene = random.integers(0, 256, shape)
        for _ in range(draw(st.integers(1, 12))):
            noise = random.normal(0.0, draw(st.sampled_from([0.0, 3.0, 40.0])), shape)
            luma = scene * draw(st.sampled_from([0.0, 0.3, 1.0, 4.0])) + draw(st.sampled_from([0, 60])) + noise
            whole = np.zeros((shape[0] * 2, shape[1] * 3), np.uint8)
            view = whole[::2, 1::3]  # a luma need not lie in one piece
            view[:] = np.clip(luma, 0, 255)
            found.append(view)
    return found


@given(
    pictures(),
    st.lists(STEPS_S, min_size=24, max_size=24),
    st.lists(boxes(), max_size=3),
    st.sampled_from([0.01, 0.5, 2.0, 120.0]),
    st.sets(st.integers(0, 3)),
)
def test_no_region_waits_longer_than_idle_fps_allows(lumas, steps_s, parts, idle_fps, asking) -> None:
    regions = [Region(str(number), box, "stretch") for number, box in enumerate([FULL, *parts])]
    gate = MotionGate(regions, idle_fps, lambda region: int(region.name) in asking)
    last_s: dict[str, float] = {}
    for luma, t_s in zip(lumas, itertools.accumulate(steps_s, initial=50.0), strict=False):
        kept = luma.copy()
        due = list(gate.due(Frame(forbidden, t_s, luma)))
        assert due == [region for region in regions if region in due]  # in their order, each at most once
        for region in due:
            last_s[region.name] = t_s
        for region in regions:
            assert t_s - last_s[region.name] < 1.0 / idle_fps
            assert region in due or int(region.name) not in asking
        assert np.array_equal(luma, kept)


@given(pictures(), st.lists(STEPS_S, min_size=24, max_size=24), st.floats(-1e5, 1e5))
def test_the_same_pictures_at_another_time_are_judged_the_same(lumas, steps_s, moved_s) -> None:
    region = Region("full", FULL, "stretch")
    gates = [MotionGate((region,), 0.5, lambda _: False) for _ in range(2)]
    # Whole 1/64 s, so that no sum is rounded.
    times_s = list(itertools.accumulate((round(step_s * 64) / 64 for step_s in steps_s), initial=0.0))
    away_s = round(moved_s)
    for luma, t_s in zip(lumas, times_s, strict=False):
        one, other = (gate.due(Frame(forbidden, t, luma)) for gate, t in zip(gates, (t_s, t_s + away_s), strict=True))
        assert list(one) == list(other)
