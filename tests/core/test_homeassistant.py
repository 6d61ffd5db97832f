"""The discovery payload without Home Assistant: identities, topics, size, what is gone.

What Home Assistant makes of it is asked in `scripts/test-home-assistant`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core import homeassistant, wire
from edged.core.types import Message, Rule
from tests.fakes import rule

TOPICS = wire.Topics("edged", "porch")
LONG = "n" * 32
ROOT_KEYS = {"dev", "o", "avty", "cmps"}
HEALTH_KEYS = {"fps", "soc_temp", "outbox", "disk_free", "clock_synced", "undervoltage", "throttled", "problem"}
CONTROLS = {"enabled", "restart"}

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True)
titles = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=100)
rule_lists = st.lists(
    st.builds(lambda name, title: rule(name, title=title), names, titles),
    min_size=1,
    max_size=32,
    unique_by=lambda one: one.name,
)


def discovery(rules: list[Rule], device: str = "porch", title: str = "Front porch", **changes: Any) -> Message:
    values: dict[str, Any] = {"discovery_prefix": "homeassistant", "commands": True, "gone": {}, **changes}
    topics = wire.Topics("edged", device)
    return homeassistant.discovery(device, title, topics, rules, "1.0.0", "a board", **values)


def body(message: Message) -> dict[str, Any]:
    decoded = json.loads(message.payload)
    assert isinstance(decoded, dict)
    return decoded


def components(*rules: Rule, commands: bool = True) -> dict[str, homeassistant.Component]:
    return homeassistant.components("porch", TOPICS, rules, commands=commands)


def test_topic_and_delivery() -> None:
    message = discovery([rule()])
    assert message.topic == "homeassistant/device/edged_porch/config"
    assert (message.qos, message.retain, message.expiry_s) == (1, True, None)
    assert discovery([rule()], discovery_prefix="a/b").topic == "a/b/device/edged_porch/config"


def test_removal_is_empty_and_retained_at_the_same_topic() -> None:
    message = homeassistant.removal("porch", discovery_prefix="homeassistant")
    assert (message.topic, message.payload, message.retain) == (discovery([rule()]).topic, b"", True)


@given(rule_lists)
def test_same_configuration_same_bytes(rules: list[Rule]) -> None:
    again = [rule(one.name, title=one.title) for one in rules]
    assert discovery(rules).payload == discovery(again).payload


@given(rule_lists, titles, st.randoms())
def test_identities_come_from_names_alone(rules: list[Rule], title: str, random: Any) -> None:
    other = [rule(one.name, title=title, label="dog", score_threshold=0.9) for one in rules]
    random.shuffle(other)
    one, two = body(discovery(rules)), body(discovery(other, title=title))

    def identities(payload: dict[str, Any]) -> dict[str, Any]:
        words = ("p", "uniq_id", "type", "stype")
        return {key: {word: made.get(word) for word in words} for key, made in payload["cmps"].items()}

    assert identities(one) == identities(two)
    assert one["dev"]["ids"] == two["dev"]["ids"] == ["edged_porch"]


@given(rule_lists, st.booleans())
def test_keys_are_those_that_were_promised(rules: list[Rule], commands: bool) -> None:
    made = body(discovery(rules, commands=commands))["cmps"]
    kinds = ("occupancy", "event", "start", "end", *(["threshold"] if commands else []))
    ruled = {f"{kind}_{one.name}" for kind in kinds for one in rules}
    assert set(made) == ruled | {"pipeline", "model"} | HEALTH_KEYS | (CONTROLS if commands else set())
    for key, component in made.items():
        if component["p"] == "device_automation":
            assert "uniq_id" not in component
        else:
            assert component["uniq_id"] == f"edged/porch/{key}"


@given(rule_lists, titles)
def test_root_has_only_keys_that_the_closed_schema_knows(rules: list[Rule], title: str) -> None:
    made = body(discovery(rules, title=title))
    assert set(made) == ROOT_KEYS
    assert set(made["dev"]) == {"ids", "name", "mf", "mdl", "sw"}
    assert set(made["o"]) == {"name", "sw"}
    assert made["avty"] == [{"t": "edged/porch/availability"}]
    assert made["dev"]["name"] == (title or "porch")


def test_every_component_says_its_qos_and_only_events_their_availability() -> None:
    for key, component in components(rule()).items():
        assert component["qos"] == 1
        assert component.get("avty") == ([] if key == "event_cat" else None), key
        assert not {"obj_id", "object_id", "~", "cns"} & set(component)
        if component["p"] in ("sensor", "binary_sensor"):
            assert component.get("ent_cat") in (None, "diagnostic")


def test_no_component_could_carry_a_picture() -> None:
    assert {component["p"] for component in components(rule()).values()} == {
        *("binary_sensor", "event", "number", "device_automation", "switch", "sensor", "button", "update")
    }


def test_only_what_is_not_retained_expires() -> None:
    expiring = {key for key, component in components(rule()).items() if "exp_aft" in component}
    assert expiring == HEALTH_KEYS == {key for key, one in components().items() if one.get("stat_t") == TOPICS.health}


@pytest.mark.parametrize("commands", [True, False])
def test_topics_are_those_of_the_device(commands: bool) -> None:
    made = components(rule(), rule("dog"), commands=commands)
    states = {TOPICS.pipeline, TOPICS.health, TOPICS.update}
    asked = set()
    for name in ("cat", "dog"):
        states |= {TOPICS.state(name), TOPICS.event(name)}
        if commands:
            states.add(TOPICS.threshold(name))
            asked.add(TOPICS.threshold_set(name))
    if commands:
        states.add(TOPICS.enabled)
        asked |= {TOPICS.enabled_set, TOPICS.update_set, TOPICS.request("restart")}
    words = ("stat_t", "t", "json_attr_t")
    assert {component[word] for component in made.values() for word in words if word in component} == states
    assert {component["cmd_t"] for component in made.values() if "cmd_t" in component} == asked


def test_the_newest_model_can_be_installed_where_the_device_listens() -> None:
    assert components()["model"]["pl_inst"] == "install"
    assert {"cmd_t", "pl_inst"} & set(components(commands=False)["model"]) == set()


def test_a_rule_without_a_title_has_its_name() -> None:
    assert components(rule(title=""))["occupancy_cat"]["name"] == "cat"


def test_long_titles_are_cut_between_characters() -> None:
    name = components(rule(title="猫" * 100))["occupancy_cat"]["name"]
    assert name == "猫" * 21 + "…"


@pytest.mark.parametrize("title", ["t" * 32, "🐈" * 100, '"' * 100, "\\" * 100])
def test_32_rules_with_the_longest_names_fit(title: str) -> None:
    rules = [rule(f"{number:02}{LONG}"[:32], title=title) for number in range(32)]
    assert len(discovery(rules, device=LONG, title=title).payload) <= homeassistant.MAX_BYTES == 65_536


# What is gone


def test_gone_is_what_is_announced_no_longer() -> None:
    before, now = components(rule(), rule("dog")), components(rule(), commands=False)
    gone = homeassistant.gone(before, now)
    assert set(gone) == {
        *("occupancy_dog", "event_dog", "start_dog", "end_dog", "threshold_dog"),
        *("threshold_cat", "enabled", "restart"),
    }
    assert homeassistant.gone(before | now, components(rule(), rule("dog"))) == {}


def test_what_is_gone_has_its_tombstone() -> None:
    gone = homeassistant.gone(components(rule("dog")), components(rule()))
    message = discovery([rule()], gone=gone)
    made = body(message)["cmps"]
    assert made["occupancy_dog"] == {"p": "binary_sensor"}
    assert made["start_dog"] == {"p": "device_automation"}
    assert {key: made[key] for key in gone} == homeassistant.tombstones(gone)
    assert message.payload == discovery([rule()], gone=homeassistant.tombstones(gone)).payload


def test_at_a_birth_what_is_gone_is_back_but_not_kept_by_the_broker() -> None:
    gone = homeassistant.gone(components(rule("dog")), components(rule()))
    message = discovery([rule()], gone=gone, back=True)
    assert body(message)["cmps"] == gone
    assert not message.retain


def test_what_came_back_to_the_configuration_has_no_tombstone() -> None:
    made = body(discovery([rule()], gone=homeassistant.tombstones(components(rule()))))["cmps"]
    assert made == body(discovery([rule()]))["cmps"]


def test_32_rules_that_are_gone_come_back_in_one_message() -> None:
    rules = [rule(f"{number:02}{LONG}"[:32], title="🐈" * 100) for number in range(32)]
    gone = homeassistant.gone(components(*rules), components(rule()))
    assert set(body(discovery([rule()], gone=gone, back=True))["cmps"]) == set(gone)


@given(st.integers(1, 3000), st.booleans())
def test_the_newest_tombstones_that_fit_are_kept(count: int, back: bool) -> None:
    gone = {f"occupancy_{number}": {"p": "binary_sensor", "name": LONG} for number in range(count)}
    message = discovery([rule()], gone=gone, back=back)
    assert len(message.payload) <= homeassistant.MAX_BYTES
    kept = [key for key in body(message)["cmps"] if key in gone]
    assert kept == list(gone)[count - len(kept) :]
    assert len(kept) == count or len(message.payload) > homeassistant.MAX_BYTES - 150


def test_the_page_has_every_key_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "home-assistant.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = [key.replace("<rule>", "cat") for cell in cells for key in re.findall(r"`([^`]+)`", cell)]
    assert sorted(named) == sorted(components(rule()))


def test_components_survive_being_written_to_disk() -> None:
    made = components(rule(title="🐈"))
    assert json.loads(json.dumps(made)) == made
