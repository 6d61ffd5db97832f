"""The decision, told as stories: one transition each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edged.core.trigger import Decider, Phase, Trigger
from edged.core.types import FULL, Decision, Region, Rule
from tests.fakes import rule


def told(trigger: Trigger, *moments: tuple[float, float | str]) -> list[Decision | None]:
    """Feeds (t_s, score), or (t_s, reason) for a blind moment."""
    return [trigger.blind(t, what) if isinstance(what, str) else trigger.update(t, what) for t, what in moments]


def active(what: Rule, t_s: float = 0.0) -> Trigger:
    """A trigger without delay_on that has been ACTIVE since `t_s`."""
    trigger = Trigger(what)
    trigger.update(t_s, 1.0)
    assert trigger.phase is Phase.ACTIVE
    return trigger


def test_begins_unknown_and_says_off_at_the_first_look() -> None:
    trigger = Trigger(rule())
    assert trigger.state == "unknown"
    first, second = told(trigger, (1.0, 0.1), (2.0, 0.1))
    assert first == Decision(trigger.rule, 1.0, "OFF", 0.1)
    assert second is None


def test_without_delays_it_starts_and_ends_at_once() -> None:
    trigger = Trigger(rule())
    off, start, stay, end = told(trigger, (0.0, 0.0), (1.0, 0.6), (2.0, 0.9), (3.0, 0.3))
    assert off is not None
    assert off.event_type is None
    assert start == Decision(trigger.rule, 1.0, "ON", 0.6, "start", 0.6, 1.0)
    assert stay is None
    assert end == Decision(trigger.rule, 3.0, "OFF", 0.3, "end", 0.9, 1.0, 2.0, "gone")


def test_starts_only_after_delay_on_without_a_break() -> None:
    trigger = Trigger(rule(delay_on_s=1.0))
    *before, start = told(trigger, (0.0, 0.0), (1.0, 0.9), (1.75, 0.7), (2.0, 0.8))
    assert [decision for decision in before if decision and decision.event_type] == []
    assert start is not None
    assert (start.event_type, start.t_s, start.start_t_s, start.peak_score) == ("start", 2.0, 2.0, 0.9)


def test_the_peak_includes_what_was_seen_while_it_was_pending() -> None:
    trigger = Trigger(rule(delay_on_s=1.0))
    start = told(trigger, (1.0, 0.7), (1.5, 0.95), (2.0, 0.8))[-1]
    assert start is not None
    assert (start.score, start.peak_score) == (0.8, 0.95)


def test_an_off_moment_in_pending_begins_the_delay_anew() -> None:
    trigger = Trigger(rule(delay_on_s=1.0))
    decisions = told(trigger, (0.0, 0.0), (1.0, 0.9), (1.5, 0.1), (1.75, 0.7), (2.5, 0.7), (2.75, 0.7))
    assert [decision is not None for decision in decisions] == [True, False, False, False, False, True]
    assert decisions[-1] is not None
    assert decisions[-1].peak_score == 0.7  # the interrupted try counts for nothing


def test_the_band_keeps_what_was() -> None:
    below = Trigger(rule())
    assert all(
        decision is None or decision.event_type is None for decision in told(below, (0, 0.0), (1, 0.5), (2, 0.59))
    )
    above = active(rule())
    assert told(above, (1.0, 0.5), (2.0, 0.4)) == [None, None]
    (end,) = told(above, (3.0, 0.39))
    assert end is not None
    assert end.event_type == "end"


def test_the_band_carries_a_pending_rule_to_its_start() -> None:
    trigger = Trigger(rule(delay_on_s=1.0))
    start = told(trigger, (0.0, 0.6), (1.0, 0.4))[-1]
    assert start is not None
    assert (start.event_type, start.score, start.peak_score) == ("start", 0.4, 0.6)


def test_ends_only_after_delay_off_without_a_break() -> None:
    trigger = active(rule(delay_off_s=2.0))
    decisions = told(trigger, (1.0, 0.1), (2.5, 0.1), (2.75, 0.9), (3.0, 0.1), (4.5, 0.0), (5.0, 0.2))
    assert decisions[:-1] == [None] * 5
    end = decisions[-1]
    assert end is not None
    assert (end.event_type, end.reason, end.t_s, end.duration_s, end.state) == ("end", "gone", 5.0, 5.0, "OFF")


def test_while_it_goes_off_only_the_higher_threshold_brings_it_back() -> None:
    trigger = active(rule(delay_off_s=2.0))
    decisions = told(trigger, (1.0, 0.1), (2.0, 0.5), (3.0, 0.59))
    assert decisions[:-1] == [None, None]
    assert decisions[-1] is not None
    assert decisions[-1].event_type == "end"


def test_a_refractory_rule_starts_again_only_when_it_is_rested() -> None:
    trigger = active(rule(refractory_s=10.0))
    end, *rest = told(trigger, (1.0, 0.0), (2.0, 1.0), (10.75, 1.0), (11.0, 1.0))
    assert end is not None
    assert end.event_type == "end"
    assert rest[:2] == [None, None]
    assert rest[2] is not None
    assert rest[2].event_type == "start"


def test_delay_on_is_counted_from_the_end_of_the_rest() -> None:
    trigger = Trigger(rule(refractory_s=10.0, delay_on_s=1.0))
    told(trigger, (0.0, 1.0), (1.0, 1.0), (2.0, 0.0))
    decisions = told(trigger, (3.0, 1.0), (12.0, 1.0), (12.5, 1.0), (13.0, 1.0))
    assert decisions[:3] == [None, None, None]
    assert decisions[3] is not None
    assert decisions[3].event_type == "start"


@pytest.mark.parametrize("reason", ["camera_lost", "camera_fault", "paused", "shutdown"])
def test_blind_while_active_ends_with_that_reason_and_leaves_it_unknown(reason: str) -> None:
    trigger = active(rule())
    trigger.update(1.0, 0.8)
    end, again = told(trigger, (4.0, reason), (5.0, "camera_lost"))
    assert end == Decision(trigger.rule, 4.0, "unknown", None, "end", 1.0, 0.0, 4.0, reason)
    assert again is None


def test_blind_while_going_off_ends_it_too() -> None:
    trigger = active(rule(delay_off_s=10.0))
    end = told(trigger, (1.0, 0.0), (2.0, "camera_lost"))[-1]
    assert end is not None
    assert (end.event_type, end.reason, end.duration_s) == ("end", "camera_lost", 2.0)


def test_blind_while_idle_makes_it_unknown_without_an_event() -> None:
    trigger = Trigger(rule())
    _, blind, again, seeing = told(trigger, (0.0, 0.0), (1.0, "camera_lost"), (2.0, "camera_fault"), (3.0, 0.0))
    assert blind == Decision(trigger.rule, 1.0, "unknown", None, reason="camera_lost")
    assert again is None
    assert seeing == Decision(trigger.rule, 3.0, "OFF", 0.0)


def test_blind_while_pending_begins_the_delay_anew_and_never_says_off_by_accident() -> None:
    trigger = Trigger(rule(delay_on_s=1.0))
    decisions = told(trigger, (0.0, 0.9), (0.5, "camera_lost"), (0.75, 0.9), (1.5, 0.9), (1.75, 0.9))
    assert decisions[:4] == [None, None, None, None]  # unknown from the beginning, and still undecided
    assert decisions[4] is not None
    assert (decisions[4].event_type, decisions[4].state) == ("start", "ON")


def test_blind_before_anything_was_seen_is_no_news() -> None:
    assert told(Trigger(rule()), (0.0, "camera_lost"), (1.0, "camera_lost")) == [None, None]


def test_blind_while_refractory_does_not_shorten_the_rest() -> None:
    trigger = active(rule(refractory_s=10.0))
    decisions = told(trigger, (1.0, 0.0), (2.0, "camera_lost"), (3.0, 0.9), (10.5, 0.9), (11.0, 0.9))
    assert [decision and (decision.state, decision.event_type) for decision in decisions] == [
        ("OFF", "end"),
        ("unknown", None),
        ("OFF", None),
        None,
        ("ON", "start"),
    ]


def test_after_blindness_the_band_is_off() -> None:
    trigger = active(rule())
    _, seeing = told(trigger, (1.0, "camera_lost"), (2.0, 0.5))
    assert seeing is not None
    assert (seeing.state, seeing.event_type) == ("OFF", None)


def test_time_may_stand_still_but_not_go_backwards() -> None:
    trigger = Trigger(rule())
    trigger.update(5.0, 0.0)
    trigger.update(5.0, 0.0)
    with pytest.raises(ValueError, match=r"time went backwards, from 5\.0 s to 4\.9"):
        trigger.update(4.999, 0.0)
    with pytest.raises(ValueError, match="time went backwards"):
        trigger.blind(4.0, "camera_lost")
    with pytest.raises(ValueError, match="time went backwards"):
        trigger.update(math.nan, 0.0)


@pytest.mark.parametrize("score", [math.nan, -0.01, 1.01, math.inf])
def test_a_score_that_is_none_raises(score: float) -> None:
    with pytest.raises(ValueError, match="expected a score from 0 to 1"):
        Trigger(rule()).update(0.0, score)


def test_a_decider_gives_each_rule_the_score_of_its_label_in_its_region() -> None:
    rules = (rule("cat"), rule("dog"), rule("door_dog", label="dog", region="door"))
    decider = Decider(rules, wanted=("dog", "cat"))
    full, door = Region("full", FULL, "stretch"), Region("door", FULL, "stretch")
    scores = np.array([0.9, 0.1], np.float32)
    assert [(d.rule.name, d.state) for d in decider.update(full, 0.0, scores)] == [("cat", "OFF"), ("dog", "ON")]
    assert [(d.rule.name, d.state) for d in decider.update(door, 0.0, scores)] == [("door_dog", "ON")]
    assert list(decider.update(full, 1.0, scores)) == []
    assert list(decider.update(Region("elsewhere", FULL, "stretch"), 2.0, scores)) == []


def test_a_blind_decider_tells_every_rule_in_every_region_once() -> None:
    decider = Decider((rule("cat"), rule("dog", region="door")), wanted=("cat", "dog"))
    decider.update(Region("full", FULL, "stretch"), 0.0, np.array([1.0, 0.0], np.float32))
    decider.update(Region("door", FULL, "stretch"), 0.0, np.array([1.0, 0.0], np.float32))
    decisions = decider.blind(1.0, "camera_lost")
    assert [(d.rule.name, d.state, d.event_type) for d in decisions] == [
        ("cat", "unknown", "end"),
        ("dog", "unknown", None),
    ]
    assert list(decider.blind(2.0, "camera_lost")) == []


def test_a_rule_for_a_label_that_nobody_scores_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="not in"):
        Decider((rule("fox"),), wanted=("cat",))


def test_a_retuned_rule_is_judged_by_its_new_thresholds_from_the_next_picture_on() -> None:
    trigger = Trigger(rule())
    assert trigger.update(0.0, 0.5) is not None
    trigger.retune(0.5, 0.3)
    start, stay, end = told(trigger, (1.0, 0.5), (2.0, 0.3), (3.0, 0.29))
    assert start is not None
    assert start.event_type == "start"
    assert start.rule == rule(score_threshold=0.5, release_threshold=0.3)
    assert stay is None
    assert end is not None
    assert end.rule is start.rule


def test_retuning_decides_nothing_by_itself() -> None:
    trigger = active(rule())
    trigger.retune(1.0, 0.9)
    assert (trigger.state, trigger.phase) == ("ON", Phase.ACTIVE)


def test_an_active_rule_below_its_new_release_ends_by_the_next_pictures() -> None:
    trigger = active(rule(delay_off_s=2.0))
    trigger.update(1.0, 0.7)
    trigger.retune(0.9, 0.8)
    still, end = told(trigger, (2.0, 0.7), (4.0, 0.7))
    assert still is None
    assert end is not None
    assert (end.event_type, end.reason, end.duration_s, end.rule.score_threshold) == ("end", "gone", 4.0, 0.9)


def test_an_active_rule_between_its_new_thresholds_stays() -> None:
    trigger = active(rule())
    trigger.retune(0.9, 0.5)
    assert told(trigger, (1.0, 0.6), (2.0, 0.5)) == [None, None]
    assert trigger.state == "ON"


def test_a_rule_that_is_going_off_is_brought_back_by_a_lower_threshold() -> None:
    trigger = active(rule(delay_off_s=2.0))
    trigger.update(1.0, 0.35)
    trigger.retune(0.3, 0.2)
    assert told(trigger, (2.0, 0.35), (4.0, 0.35)) == [None, None]
    assert trigger.state == "ON"


def test_a_pending_rule_goes_on_where_what_was_seen_reaches_the_new_threshold() -> None:
    trigger = Trigger(rule(delay_on_s=2.0))
    told(trigger, (0.0, 0.95), (1.0, 0.7))
    trigger.retune(0.9, 0.6)
    assert trigger.phase is Phase.PENDING
    start = trigger.update(2.0, 0.7)
    assert start is not None
    assert (start.event_type, start.peak_score) == ("start", 0.95)


def test_a_pending_rule_begins_anew_where_it_does_not() -> None:
    trigger = Trigger(rule(delay_on_s=2.0))
    told(trigger, (0.0, 0.8), (1.0, 0.8))
    trigger.retune(0.9, 0.6)
    assert trigger.phase is Phase.IDLE
    off, on, wait, start = told(trigger, (2.0, 0.8), (3.0, 0.9), (4.0, 0.8), (5.0, 0.8))
    assert off is not None
    assert (off.state, off.event_type) == ("OFF", None)
    assert on is None
    assert wait is None
    assert start is not None
    assert start.event_type == "start"


def test_a_resting_rule_owes_nothing_to_the_old_threshold() -> None:
    trigger = active(rule(refractory_s=2.0))
    told(trigger, (1.0, 0.0), (2.0, 0.7))  # over, and on again while it rests
    assert trigger.phase is Phase.REFRACTORY
    trigger.retune(0.9, 0.5)
    assert trigger.update(3.0, 0.7) is None
    assert trigger.phase is Phase.IDLE


def test_a_resting_rule_that_is_on_stays_so_under_a_lower_threshold() -> None:
    trigger = active(rule(refractory_s=2.0))
    told(trigger, (1.0, 0.0), (2.0, 0.7))
    trigger.retune(0.5, 0.3)
    start = trigger.update(3.0, 0.4)
    assert start is not None
    assert start.event_type == "start"


def test_a_lower_threshold_takes_nothing_back() -> None:
    trigger = Trigger(rule(delay_on_s=2.0))
    trigger.update(0.0, 0.7)
    trigger.retune(0.5, 0.3)
    start = trigger.update(2.0, 0.4)
    assert start is not None
    assert start.event_type == "start"


@pytest.mark.parametrize(("score", "release"), [(0.5, 0.6), (1.1, 0.5), (0.5, -0.1), (math.nan, 0.1), (0.5, math.nan)])
def test_thresholds_that_are_none_raise_and_change_nothing(score: float, release: float) -> None:
    trigger = Trigger(rule())
    with pytest.raises(ValueError, match="expected thresholds"):
        trigger.retune(score, release)
    assert trigger.rule == rule()


def test_a_decider_retunes_one_rule_by_its_name() -> None:
    decider = Decider((rule("cat"), rule("dog")), wanted=("cat", "dog"))
    decider.retune("dog", 0.9, 0.5)
    changes = decider.update(Region("full", FULL, "stretch"), 0.0, np.float32([0.7, 0.7]))
    assert [(change.rule.name, change.state) for change in changes] == [("cat", "ON"), ("dog", "OFF")]
    assert changes[1].rule.score_threshold == 0.9
    with pytest.raises(KeyError):
        decider.retune("fox", 0.9, 0.5)
