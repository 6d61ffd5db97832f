"""The time of a picture, whichever driver tells it."""

import pytest

from edged.core.shot import RECENT_S, taken_s


@pytest.mark.parametrize("stamp_s", [100.0, 99.9, 100.0 - RECENT_S])
def test_a_recent_time_is_believed(stamp_s):
    assert taken_s(stamp_s, 100.0) == stamp_s


@pytest.mark.parametrize("stamp_s", [0.0, 100.1, 99.9 - RECENT_S, -1.0, float("nan"), float("inf")])
def test_one_of_another_clock_is_not(stamp_s):
    assert taken_s(stamp_s, 100.0) == 100.0
