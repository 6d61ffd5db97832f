"""The small parts of the core: delays, figures, problems, the pipeline's state, thread counts, boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core.backoff import Backoff
from edged.core.errors import ConfigError
from edged.core.gate import EveryRegion
from edged.core.pipeline import Pipeline
from edged.core.problems import Problem, Problems
from edged.core.stats import Rate, Ring
from edged.core.threads import fewest_threads
from edged.core.types import FULL, Box, Region
from tests.fakes import fault, frame, lost


class TestBackoff:
    def test_doubles_up_to_the_cap(self) -> None:
        backoff = Backoff(first_s=1.0, cap_s=10.0, decay_s=30.0)
        assert [backoff.failed(float(t)) for t in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]

    def test_a_short_success_is_nearly_forgotten(self) -> None:
        backoff = Backoff(first_s=1.0, cap_s=60.0, decay_s=30.0)
        for t in range(4):
            backoff.failed(float(t))
        backoff.worked(10.0)
        assert backoff.failed(10.0) == 16.0

    def test_each_decay_period_of_success_halves_the_delay(self) -> None:
        backoff = Backoff(first_s=1.0, cap_s=64.0, decay_s=30.0)
        for t in range(7):
            backoff.failed(float(t))
        backoff.worked(100.0)
        backoff.worked(155.0)  # the same success
        assert backoff.failed(160.0) == 32.0
        backoff.worked(200.0)
        assert backoff.failed(1e6) == 1.0

    @given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e6)), max_size=60))
    def test_always_between_the_first_and_the_cap(self, steps: list[tuple[bool, float]]) -> None:
        backoff, t_s = Backoff(first_s=0.5, cap_s=60.0, decay_s=60.0), 0.0
        for works, passed_s in steps:
            t_s += passed_s
            if works:
                backoff.worked(t_s)
            else:
                assert 0.5 <= backoff.failed(t_s) <= 60.0


class TestRing:
    def test_nothing_is_no_figure(self) -> None:
        assert Ring(10).percentiles() is None

    @given(st.lists(st.floats(0, 1e4), min_size=1, max_size=40))
    def test_percentiles_of_the_last_samples_in_any_order(self, samples: list[float]) -> None:
        ring = Ring(16)
        for sample in samples:
            ring.add(sample)
        found = ring.percentiles()
        assert found is not None
        assert [found.p50, found.p95, found.p99] == pytest.approx(np.percentile(samples[-16:], (50, 95, 99)).tolist())


class TestRate:
    def test_between_two_readings(self) -> None:
        rate = Rate(100.0)
        assert rate.read(100.0, 5) is None  # no time has passed
        assert rate.read(110.0, 50) == 5.0
        assert rate.read(110.0, 60) is None
        assert rate.read(114.0, 70) == 5.0
        assert rate.read(115.0, 70) == 0.0


class TestProblems:
    def test_each_is_there_once_from_its_beginning_until_it_is_gone(self) -> None:
        problems = Problems()
        assert problems.set("camera_lost", "unplugged", 1.0)
        assert problems.set("broker_lost", "no route", 2.0)
        assert not problems.set("camera_lost", "unplugged", 3.0)
        assert problems.set("camera_lost", "no power", 4.0)
        assert problems.all() == (Problem("camera_lost", "no power", 1.0), Problem("broker_lost", "no route", 2.0))
        assert problems.set("camera_lost", None, 5.0)
        assert not problems.set("camera_lost", None, 6.0)
        assert [problem.code for problem in problems.all()] == ["broker_lost"]

    def test_counts_changes_and_nothing_else(self) -> None:
        problems = Problems()
        versions = [problems.version]
        for text in ("a", "a", "b", None, None, "a"):
            problems.set("camera_lost", text, 0.0)
            versions.append(problems.version)
        assert versions == [0, 1, 1, 2, 3, 3, 4]


class TestPipeline:
    def test_starts_and_runs_from_the_first_picture_on(self) -> None:
        pipeline = Pipeline(1.0)
        assert (pipeline.state, pipeline.reason, pipeline.since_s, pipeline.version) == ("starting", None, 1.0, 1)
        pipeline.seeing(2.0)
        pipeline.seeing(3.0)
        assert (pipeline.state, pipeline.since_s, pipeline.version) == ("running", 2.0, 2)

    def test_blindness_has_a_reason_until_something_is_seen(self) -> None:
        pipeline = Pipeline(1.0)
        pipeline.blind(lost(2.0, "unplugged"))
        pipeline.blind(lost(3.0, "unplugged"))
        assert (pipeline.state, pipeline.reason, pipeline.since_s, pipeline.version) == (
            "camera_lost",
            "unplugged",
            2.0,
            2,
        )
        pipeline.blind(lost(4.0, "no power"))
        pipeline.blind(fault(5.0, "black"))
        assert (pipeline.state, pipeline.reason, pipeline.since_s, pipeline.version) == (
            "camera_fault",
            "black",
            5.0,
            4,
        )
        pipeline.seeing(6.0)
        assert (pipeline.state, pipeline.reason, pipeline.since_s) == ("running", None, 6.0)


class TestFewestThreads:
    def test_stops_at_the_first_that_is_fast_enough(self) -> None:
        times, asked = {1: 200.0, 2: 80.0, 3: 50.0}, []
        found = fewest_threads(100.0, 4, {}, lambda threads: asked.append(threads) or times[threads])
        assert found == (2, {1: 200.0, 2: 80.0})
        assert asked == [1, 2]

    def test_what_is_known_is_not_measured_again(self) -> None:
        found = fewest_threads(100.0, 4, {1: 81.0, 2: 79.0}, lambda threads: pytest.fail(f"measured {threads}"))
        assert found == (2, {1: 81.0, 2: 79.0})

    def test_where_none_is_fast_enough_the_fastest_wins(self) -> None:
        times = {1: 400.0, 2: 250.0, 3: 260.0}
        assert fewest_threads(100.0, 3, {8: 1.0}, times.__getitem__) == (2, {**times, 8: 1.0})


class TestBox:
    def test_the_full_picture(self) -> None:
        assert FULL.pixels(640, 480) == (0, 0, 640, 480)

    def test_fractions_become_the_nearest_pixels(self) -> None:
        assert Box(0.1, 0.2, 0.5, 0.9).pixels(640, 480) == (64, 96, 320, 432)

    fractions = st.floats(0, 1)

    @given(fractions, fractions, fractions, fractions, st.integers(1, 5000), st.integers(1, 5000))
    def test_always_within_the_picture_and_never_empty(
        self, x1: float, x2: float, y1: float, y2: float, width_px: int, height_px: int
    ) -> None:
        box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        left, top, right, bottom = box.pixels(width_px, height_px)
        assert 0 <= left < right <= width_px
        assert 0 <= top < bottom <= height_px


def test_a_gate_without_motion_lets_every_region_pass() -> None:
    regions = [Region("a", FULL, "stretch"), Region("b", FULL, "letterbox")]
    assert list(EveryRegion(regions).due(frame(0.0))) == regions


def test_a_config_error_keeps_its_problems_apart() -> None:
    error = ConfigError("a.toml:1: x: wrong", "a.toml:2: y: wrong")
    assert error.problems == ("a.toml:1: x: wrong", "a.toml:2: y: wrong")
    assert str(error) == "a.toml:1: x: wrong\na.toml:2: y: wrong"
