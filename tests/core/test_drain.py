"""How fast a backlog follows: never faster than it may, and no slower where there is enough to send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core.drain import Drain


def sent(drain: Drain, t_s: float, wanted: int) -> int:
    """How many of those that want to go at a moment may."""
    count = 0
    while count < wanted and drain.may(t_s):
        drain.took()
        count += 1
    return count


@pytest.mark.parametrize(("per_s", "turn_s"), [(20, 0.1), (20, 0.25), (1, 0.1), (1000, 0.01)])
def test_the_average_over_a_minute(per_s: float, turn_s: float) -> None:
    drain = Drain(per_s)
    count = sum(sent(drain, 1000.0 + turn * turn_s, 10_000) for turn in range(round(60 / turn_s) + 1))
    assert count == pytest.approx(60 * per_s, abs=1)


def test_a_pause_is_made_up_for_by_one_second_at_most() -> None:
    drain = Drain(20.0)
    assert sent(drain, 1000.0, 100) == 0
    assert sent(drain, 5000.0, 100) == 20


@given(st.floats(0.1, 100), st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), max_size=50))
def test_never_more_than_time_allows(per_s: float, steps: list[tuple[float, int]]) -> None:
    drain, t_s, count = Drain(per_s), 0.0, 0
    for passed_s, wanted in steps:
        t_s += passed_s
        count += sent(drain, t_s, wanted)
        assert count <= t_s * per_s + 1e-6
