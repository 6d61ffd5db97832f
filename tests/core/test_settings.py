"""Which value holds: what was set while running, or what the file says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core.settings import Settings
from tests.fakes import rule

CAT = rule("cat", score_threshold=0.6, release_threshold=0.4)
DOG = rule("dog", score_threshold=0.5, release_threshold=0.5)
FILE = (CAT, DOG)


def kept(settings: Settings) -> Any:
    """What a state folder would give back."""
    return json.loads(json.dumps(settings.as_json(), allow_nan=False))


def changed() -> Settings:
    settings = Settings(FILE)
    assert settings.set_enabled(False)
    assert settings.set_threshold("cat", 0.75)
    return settings


def test_without_settings_the_file_holds_and_nothing_is_kept() -> None:
    settings = Settings.load({}, FILE)
    assert settings.enabled
    assert settings.rules() == FILE
    assert settings.as_json() == {}
    assert settings.sources() == {"enabled": "file", "threshold": {"cat": "file", "dog": "file"}}


def test_a_setting_holds_over_a_restart() -> None:
    settings = Settings.load(kept(changed()), FILE)
    assert not settings.enabled
    assert (settings.threshold("cat"), settings.threshold("dog")) == (0.75, 0.5)
    assert settings.sources() == {"enabled": "runtime", "threshold": {"cat": "runtime", "dog": "file"}}
    assert settings.as_json() == changed().as_json()


def test_a_setting_is_kept_with_the_file_of_its_time() -> None:
    assert changed().as_json() == {
        "enabled": {"value": False, "file": True},
        "threshold": {"cat": {"value": 0.75, "file": 0.6}},
    }


def test_a_changed_file_wins_for_that_rule_alone_and_for_good() -> None:
    settings = changed()
    settings.set_threshold("dog", 0.9)
    edited = Settings.load(kept(settings), (replace(CAT, score_threshold=0.5), DOG))
    assert (edited.threshold("cat"), edited.threshold("dog"), edited.enabled) == (0.5, 0.9, False)
    back = Settings.load(kept(edited), FILE)
    assert back.threshold("cat") == 0.6


def test_another_release_in_the_file_changes_the_proportion_and_no_setting() -> None:
    edited = Settings.load(kept(changed()), (replace(CAT, release_threshold=0.3), DOG))
    assert edited.rule("cat") == replace(CAT, score_threshold=0.75, release_threshold=0.375)


def test_a_rule_that_is_gone_takes_its_setting_along() -> None:
    without = Settings.load(kept(changed()), (DOG,))
    assert without.rules() == (DOG,)
    assert "threshold" not in without.as_json()


def test_release_threshold_follows_in_its_proportion() -> None:
    assert changed().rule("cat") == replace(CAT, score_threshold=0.75, release_threshold=0.5)
    settings = Settings(FILE)
    settings.set_threshold("dog", 1.0)
    assert settings.rule("dog").release_threshold == 1.0


def test_release_threshold_is_rounded_but_never_above_its_threshold() -> None:
    settings = Settings.load({"threshold": {"dog": {"value": 0.1234567, "file": 0.5}}}, FILE)
    assert settings.rule("dog").release_threshold == settings.threshold("dog") == 0.1234567
    settings.set_threshold("cat", 0.55)
    assert settings.rule("cat").release_threshold == 0.366667


def test_setting_what_the_file_says_is_no_setting() -> None:
    settings = changed()
    assert settings.set_threshold("cat", 0.6)
    assert settings.set_enabled(True)
    assert settings.as_json() == {}
    assert settings.rule("cat") is CAT


def test_what_changes_nothing_needs_no_keeping() -> None:
    settings = changed()
    assert not settings.set_enabled(False)
    assert not settings.set_threshold("cat", 0.75)
    assert not settings.set_threshold("dog", 0.5)


@pytest.mark.parametrize("value", [0.0, 0.009, 1.01, float("nan"), -1.0])
def test_a_threshold_out_of_range_is_a_bug(value: float) -> None:
    with pytest.raises(ValueError, match=r"expected 0.01 to 1.0"):
        Settings(FILE).set_threshold("cat", value)


def test_a_rule_that_nobody_knows_is_a_bug() -> None:
    for ask in (lambda s: s.threshold("fox"), lambda s: s.rule("fox"), lambda s: s.set_threshold("fox", 0.5)):
        with pytest.raises(KeyError):
            ask(Settings(FILE))


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        "ON",
        {"enabled": False, "threshold": {"cat": 0.9}},
        {"enabled": {"value": "OFF", "file": True}},
        {"enabled": {"value": False}},
        {"enabled": {"value": False, "file": 1}},
        {"enabled": {"value": 0, "file": True}},
        {"threshold": [["cat", 0.9]]},
        {"threshold": {"cat": {"value": True, "file": 0.6}}},
        {"threshold": {"cat": {"value": "0.9", "file": 0.6}}},
        {"threshold": {"cat": {"value": 0.0, "file": 0.6}}},
        {"threshold": {"cat": {"value": float("nan"), "file": 0.6}}},
        {"threshold": {"cat": {"value": 10**400, "file": 0.6}}},
        {"threshold": {"cat": {"value": 0.9, "file": None}}},
        {"threshold": {"cat": {"value": 0.9}}},
        {"threshold": {"fox": {"value": 0.9, "file": 0.6}}},
    ],
)
def test_a_damaged_entry_is_no_entry(damaged: object) -> None:
    settings = Settings.load(damaged, FILE)
    assert settings.enabled
    assert settings.rules() == FILE
    assert settings.as_json() == {}


def test_one_damaged_entry_leaves_the_others() -> None:
    content = {**changed().as_json(), "enabled": "?", "more": 1}
    content["threshold"]["dog"] = {"value": [], "file": 0.5}
    settings = Settings.load(content, FILE)
    assert settings.enabled
    assert settings.sources()["threshold"] == {"cat": "runtime", "dog": "file"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([0.6, 0.5, 0.9, "ON"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["enabled", "threshold", "cat", "dog", "value", "file"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(anything)
def test_whatever_was_kept_the_rules_are_sound(content: object) -> None:
    settings = Settings.load(content, FILE)
    for filed, in_force in zip(FILE, settings.rules(), strict=True):
        assert 0 <= in_force.release_threshold <= in_force.score_threshold <= 1
        assert replace(in_force, score_threshold=0.5, release_threshold=0.5) == replace(
            filed, score_threshold=0.5, release_threshold=0.5
        )
    again = Settings.load(kept(settings), FILE)
    assert (again.rules(), again.enabled, again.sources()) == (settings.rules(), settings.enabled, settings.sources())


@given(st.integers(1, 100), st.integers(0, 100), st.integers(1, 100))
def test_the_proportion_holds_for_every_threshold(score: int, release: int, value: int) -> None:
    filed = rule("cat", score_threshold=score / 100, release_threshold=min(release, score) / 100)
    settings = Settings((filed,))
    settings.set_threshold("cat", value / 100)
    found = settings.rule("cat")
    assert found.release_threshold <= found.score_threshold == value / 100
    expected = filed.release_threshold / filed.score_threshold
    assert found.release_threshold / found.score_threshold == pytest.approx(expected, abs=1e-4)
