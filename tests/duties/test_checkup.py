"""Looked at every few seconds: problems that hold, and the end before memory runs out."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from edged.core.problems import Problems
from edged.duties.checkup import HOLD_S, PERIOD_S, Checkup
from edged.ports import RunError
from tests.fakes import FakeClock, condition


class Visit:
    def __init__(self) -> None:
        self.clock, self.problems, self.looks = FakeClock(), Problems(), 0
        self.figures: dict[str, Any] = {}
        self.checkup = Checkup(self.clock, self.problems, self._look)

    def _look(self) -> Any:
        self.looks += 1
        return condition(**self.figures)

    def turn(self, seconds: float = PERIOD_S) -> list[str]:
        self.clock.advance(seconds)
        self.checkup.turn()
        return [one.code for one in self.problems.all()]


def test_it_looks_every_few_seconds_and_not_at_every_turn() -> None:
    visit = Visit()
    for _ in range(241):
        visit.checkup.turn()
        visit.clock.advance(0.25)
    assert visit.looks == 60 / PERIOD_S + 1


def test_a_problem_is_open_from_the_first_look_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    visit = Visit()
    visit.figures = {"undervoltage": True, "soc_temp_c": 81.0}
    with caplog.at_level(logging.WARNING):
        assert visit.turn() == ["undervoltage", "hot"]
        version = visit.problems.version
        visit.figures["soc_temp_c"] = 84.0
        assert visit.turn() == ["undervoltage", "hot"]
    assert visit.problems.version == version
    assert len(caplog.records) == 2


def test_a_supply_that_is_weak_now_and_then_is_one_problem(caplog: pytest.LogCaptureFixture) -> None:
    visit = Visit()
    with caplog.at_level(logging.WARNING):
        for weak in (True, False, True, False):
            visit.figures = {"undervoltage": weak}
            assert visit.turn() == ["undervoltage"]
        assert visit.turn(HOLD_S - 2 * PERIOD_S) == ["undervoltage"]
        assert visit.turn() == []
    assert len(caplog.records) == 1
    assert visit.problems.version == 2


def test_memory_is_a_problem_before_it_is_the_end() -> None:
    visit = Visit()
    visit.figures = {"anonymous_mb": 200.0, "begun_mb": 50.0, "memory_limit_mb": 242.0}
    assert visit.turn() == ["memory_high"]
    visit.figures["anonymous_mb"] = 242.0
    with pytest.raises(RunError, match="the process takes 242 MB and began with 50"):
        visit.turn()
