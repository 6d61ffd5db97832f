"""What earlier configurations left: only what edged put there, everything of it, and until it is cleared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core import leftovers, wire

TOPICS = wire.Topics("edged", "porch")
DISCOVERY = "homeassistant/device/edged_porch/config"
ATTIC = wire.Topics("edged", "attic")
ATTIC_DISCOVERY = "homeassistant/device/edged_attic/config"
COMPONENTS = {"occupancy_cat": {"p": "binary_sensor"}, "event_cat": {"p": "event"}}
RULES = ("state/cat", "threshold/cat", "state/dog", "threshold/dog")
EVERYTHING = [
    *(f"edged/porch/{name}" for name in (*RULES, "availability", "pipeline", "enabled", "update/model")),
    DISCOVERY,
    "edged/porch/info",
]


def record(
    topics: wire.Topics, rules: list[str], discovery: str, stale: Mapping[str, list[str]] | None = None
) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(json.dumps(leftovers.record(topics, rules, discovery, COMPONENTS, stale or {})))
    return kept


KEPT = record(TOPICS, ["cat", "dog"], DISCOVERY)


def test_the_same_configuration_leaves_nothing() -> None:
    assert leftovers.stale(KEPT, TOPICS, ["dog", "cat"], DISCOVERY) == {}


def test_a_removed_rule_leaves_its_state_and_its_threshold() -> None:
    assert leftovers.stale(KEPT, TOPICS, ["dog"], DISCOVERY) == {
        "edged/porch": ["edged/porch/state/cat", "edged/porch/threshold/cat"]
    }


@pytest.mark.parametrize("moved", [ATTIC, wire.Topics("house/edged", "porch")])
def test_another_name_or_prefix_leaves_everything_and_whose_it_is_comes_last(moved: wire.Topics) -> None:
    assert leftovers.stale(KEPT, moved, ["cat", "dog"], "another") == {"edged/porch": EVERYTHING}


def test_another_prefix_with_the_same_name_keeps_the_description_for_home_assistant() -> None:
    found = leftovers.stale(KEPT, wire.Topics("house/edged", "porch"), ["cat", "dog"], DISCOVERY)
    assert DISCOVERY not in found["edged/porch"]


def test_discovery_switched_off_is_cleared() -> None:
    assert leftovers.stale(KEPT, TOPICS, ["cat", "dog"], "") == {"edged/porch": [DISCOVERY]}


def test_what_was_not_cleared_stays_over_further_changes() -> None:
    first = leftovers.stale(KEPT, ATTIC, ["cat", "dog"], ATTIC_DISCOVERY)
    kept = record(ATTIC, ["cat", "dog"], ATTIC_DISCOVERY, first)
    assert leftovers.stale(kept, ATTIC, ["cat", "dog"], ATTIC_DISCOVERY) == first
    again = leftovers.stale(kept, ATTIC, ["dog"], ATTIC_DISCOVERY)
    assert again == {**first, "edged/attic": ["edged/attic/state/cat", "edged/attic/threshold/cat"]}
    cellar = leftovers.stale(kept, wire.Topics("edged", "cellar"), ["cat", "dog"], "another")
    assert list(cellar) == ["edged/porch", "edged/attic"]


def test_a_rule_or_a_name_that_is_back_is_not_cleared() -> None:
    kept = record(TOPICS, ["dog"], DISCOVERY, {"edged/porch": ["edged/porch/state/cat", "edged/porch/threshold/cat"]})
    assert leftovers.stale(kept, TOPICS, ["cat", "dog"], DISCOVERY) == {}
    kept = record(ATTIC, ["cat"], ATTIC_DISCOVERY, {"edged/porch": EVERYTHING})
    back = leftovers.stale(kept, TOPICS, ["cat"], DISCOVERY)
    assert back["edged/porch"] == ["edged/porch/state/dog", "edged/porch/threshold/dog"]
    assert "edged/attic/info" in back["edged/attic"]


def test_what_edged_cannot_have_put_there_is_not_cleared() -> None:
    foreign = ["edged/porch2/info", "homeassistant/device/edged_attic/config", "edged/porch/#", "edged/porch/state/+"]
    kept = record(TOPICS, [], DISCOVERY, {"edged/porch": foreign, "edged/#": ["edged/#/info"]})
    assert leftovers.stale(kept, TOPICS, [], DISCOVERY) == {}


def test_the_signs_of_other_names_are_their_descriptions_and_availabilities() -> None:
    stale = {"edged/porch": ["edged/porch/state/cat"], "edged/attic": ["edged/attic/info"]}
    assert leftovers.signs(stale, TOPICS) == ["edged/attic/info", "edged/attic/availability"]


def test_so_many_names_are_remembered_and_no_more() -> None:
    stale = {f"edged/n{number}": [f"edged/n{number}/info"] for number in range(50)}
    found = leftovers.stale(record(TOPICS, [], DISCOVERY, stale), ATTIC, [], ATTIC_DISCOVERY)
    assert list(found) == [*(f"edged/n{number}" for number in range(43, 50)), "edged/porch"]


def test_components_of_the_same_device_are_remembered() -> None:
    assert leftovers.announced(KEPT, TOPICS) == COMPONENTS
    assert leftovers.announced(KEPT, ATTIC) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DAMAGED = JSON | st.just("edged/porch") | st.dictionaries(st.just("edged/porch"), JSON)


@given(st.dictionaries(st.sampled_from(list(KEPT)), DAMAGED, max_size=5))
def test_a_damaged_record_harms_nothing(kept: dict[str, Any]) -> None:
    found = leftovers.stale(kept, TOPICS, ["cat"], DISCOVERY)
    assert all(isinstance(topic, str) for left in found.values() for topic in left)
    leftovers.signs(found, TOPICS)
    leftovers.announced(kept, TOPICS)
