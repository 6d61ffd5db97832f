"""What an earlier configuration left: only what edged put there, and everything of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core import leftovers, wire

TOPICS = wire.Topics("edged", "porch")
DISCOVERY = "homeassistant/device/edged_porch/config"
COMPONENTS = {"occupancy_cat": {"p": "binary_sensor"}, "event_cat": {"p": "event"}}
KEPT = json.loads(json.dumps(leftovers.record(TOPICS, ["cat", "dog"], DISCOVERY, COMPONENTS)))


def test_the_same_configuration_leaves_nothing() -> None:
    assert leftovers.stale(KEPT, TOPICS, ["dog", "cat"], DISCOVERY) == []


def test_a_removed_rule_leaves_its_state_and_its_threshold() -> None:
    assert leftovers.stale(KEPT, TOPICS, ["dog"], DISCOVERY) == ["edged/porch/state/cat", "edged/porch/threshold/cat"]


@pytest.mark.parametrize("moved", [wire.Topics("edged", "attic"), wire.Topics("house/edged", "porch")])
def test_another_name_or_prefix_leaves_everything(moved: wire.Topics) -> None:
    found = leftovers.stale(KEPT, moved, ["cat", "dog"], "another")
    assert found[-1] == DISCOVERY
    assert set(found) == {
        *(f"edged/porch/{kind}/{rule}" for kind in ("state", "threshold") for rule in ("cat", "dog")),
        *(f"edged/porch/{name}" for name in ("availability", "pipeline", "info", "enabled")),
        DISCOVERY,
    }


def test_discovery_switched_off_is_cleared() -> None:
    assert leftovers.stale(KEPT, TOPICS, ["cat", "dog"], "") == [DISCOVERY]


def test_components_of_the_same_device_are_remembered() -> None:
    assert leftovers.announced(KEPT, TOPICS) == COMPONENTS
    assert leftovers.announced(KEPT, wire.Topics("edged", "attic")) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(KEPT)), JSON | st.just("edged/porch"), max_size=4))
def test_a_damaged_record_harms_nothing(kept: dict[str, Any]) -> None:
    assert all(isinstance(topic, str) for topic in leftovers.stale(kept, TOPICS, ["cat"], DISCOVERY))
    leftovers.announced(kept, TOPICS)
