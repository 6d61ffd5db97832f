"""The order of versions, against the examples of semver.org."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.modelstore.versions import is_older, order

ASCENDING = [
    *("0.9", "0.10.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"),
    *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2", "1.10.0", "2", "10.0.0", "2026.11.29"),
]


def test_the_order_is_that_of_semantic_versioning():
    shuffled = ASCENDING[1::2] + ASCENDING[::2]
    assert sorted(shuffled, key=order) == ASCENDING
    assert all(is_older(one, than) for index, one in enumerate(ASCENDING) for than in ASCENDING[index + 1 :])


@pytest.mark.parametrize(("one", "other"), [("1.0.0+a", "1.0.0+b"), ("1", "1.0.0"), ("1.0", "1.0.0+build.5")])
def test_what_says_nothing_makes_no_version_older_but_one_of_two_is_still_the_newest(one, other):
    assert not is_older(one, other)
    assert not is_older(other, one)
    assert order(one) != order(other)


VERSIONS = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}", fullmatch=True)


@given(VERSIONS, VERSIONS)
def test_any_two_versions_can_be_compared_and_never_both_ways(one, other):
    assert (order(one) < order(other)) + (order(one) > order(other)) == (one != other)
    assert not (is_older(one, other) and is_older(other, one))
