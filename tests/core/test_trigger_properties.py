"""The decision against a slow reference model, which looks at the whole past again for every question.

The reference knows no machine and no phases: it is written from the sentence that says what a rule means, as
quantifiers over the history. Times and delays are multiples of 1/8 s, so that both add up without rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core.trigger import Trigger
from edged.core.types import Decision, Rule
from tests.fakes import rule

Moment = tuple[float, float | str]
"""When, and the score that was seen then, or the reason why nothing was."""

eighths = st.integers(0, 24).map(lambda n: n / 8)
grades = st.integers(0, 20).map(lambda n: n / 20)
reasons = st.sampled_from(["camera_lost", "camera_fault", "paused"])


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    low, high = sorted((draw(st.integers(1, 20)), draw(st.integers(1, 20))))
    return rule(
        score_threshold=high / 20,
        release_threshold=low / 20,
        delay_on_s=draw(eighths),
        delay_off_s=draw(eighths),
        refractory_s=draw(eighths),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Moment]:
    # Stretches of alike moments, so that delays are often met and often just missed.
    alike = st.one_of(st.lists(grades, min_size=1, max_size=3), reasons.map(lambda reason: [reason]))
    seen = [what for some in draw(st.lists(alike, min_size=1, max_size=8)) for what in some * draw(st.integers(1, 4))]
    steps = draw(st.lists(st.integers(0, 8), min_size=len(seen), max_size=len(seen)))
    return list(zip(itertools.accumulate(step / 8 for step in steps), seen, strict=True))


class Reference:
    """What a rule means. `past` is everything that happened; every answer is looked up in it anew."""

    def __init__(self, what: Rule, past: Sequence[Moment]) -> None:
        self.rule, self.past = what, past

    def is_blind(self, i: int) -> bool:
        return isinstance(self.past[i][1], str)

    def is_on(self, i: int) -> bool:
        """On at >= score_threshold, off at < release_threshold, in between as before, after a blindness off."""
        if self.is_blind(i):
            return False
        for _, what in reversed(self.past[: i + 1]):
            if isinstance(what, str) or what < self.rule.release_threshold:
                return False
            if what >= self.rule.score_threshold:
                return True
        return False

    def lasts(self, i: int, value: bool, seconds: float, since: int) -> bool:
        """Whether a run of seen moments from `since` on, all on (or off), ends at `i` and spans so many seconds."""
        return any(
            all(not self.is_blind(k) and self.is_on(k) == value for k in range(j, i + 1))
            and self.past[i][0] - self.past[j][0] >= seconds
            for j in range(since, i + 1)
        )

    def episodes(self) -> list[tuple[int, int | None]]:
        """(start, end) of every episode, as indices of the past; the last may be open."""
        found: list[tuple[int, int | None]] = []
        rested = 0
        while True:
            start = self._first(rested, lambda i, since=rested: self.lasts(i, True, self.rule.delay_on_s, since))
            if start is None:
                return found
            end = self._first(
                start + 1,
                lambda i, since=start + 1: self.is_blind(i) or self.lasts(i, False, self.rule.delay_off_s, since),
            )
            found.append((start, end))
            if end is None:
                return found
            # Only an end by itself is followed by a rest; blindness is no fault of the rule.
            pause_s = 0.0 if self.is_blind(end) else self.rule.refractory_s
            after = self._first(end + 1, lambda i, end=end, s=pause_s: self.past[i][0] - self.past[end][0] >= s)
            if after is None:
                return found
            rested = after

    def _first(self, begin: int, condition: Callable[[int], bool]) -> int | None:
        return next((i for i in range(begin, len(self.past)) if condition(i)), None)

    def is_resting(self, i: int) -> bool:
        """Whether the rule ended by itself less than `refractory_s` ago."""
        return any(
            end is not None
            and end < i
            and not self.is_blind(end)
            and self.past[i][0] - self.past[end][0] < self.rule.refractory_s
            for _, end in self.episodes()
        )

    def state(self, i: int) -> str:
        """ON within an episode; unknown from a blind moment (or the beginning) until it is decided anew; else OFF."""
        if any(start <= i and (end is None or i < end) for start, end in self.episodes()):
            return "ON"
        for k in range(i, -1, -1):
            if self.is_blind(k):
                return "unknown"
            if not self.is_on(k) or self.is_resting(k) or k in (end for _, end in self.episodes()):
                return "OFF"
        return "unknown"


def played(what: Rule, history: Sequence[Moment]) -> tuple[list[Decision], list[str]]:
    """Every decision of a trigger, and its state after each moment."""
    trigger = Trigger(what)
    decisions, states = [], []
    for t_s, seen in history:
        decision = trigger.blind(t_s, seen) if isinstance(seen, str) else trigger.update(t_s, seen)
        if decision is not None:
            decisions.append(decision)
        states.append(trigger.state)
    return decisions, states


@given(rules(), histories())
def test_starts_and_ends_where_the_meaning_of_a_rule_says(what: Rule, history: list[Moment]) -> None:
    reference = Reference(what, history)
    expected = []
    for start, end in reference.episodes():
        expected.append(("start", history[start][0], None))
        if end is not None:
            seen = history[end][1]
            expected.append(("end", history[end][0], seen if isinstance(seen, str) else "gone"))
    decisions, _ = played(what, history)
    assert [(d.event_type, d.t_s, d.reason) for d in decisions if d.event_type] == expected


@given(rules(), histories())
def test_the_state_is_what_the_meaning_of_a_rule_says_at_every_moment(what: Rule, history: list[Moment]) -> None:
    reference = Reference(what, history)
    _, states = played(what, history)
    assert states == [reference.state(i) for i in range(len(history))]


@given(rules(), histories())
def test_decisions_hang_together(what: Rule, history: list[Moment]) -> None:
    decisions, states = played(what, history)
    events = [d for d in decisions if d.event_type]
    assert [d.event_type for d in events] == ["start", "end"] * (len(events) // 2) + ["start"] * (len(events) % 2)
    seen_states = ["unknown", *(d.state for d in decisions)]
    assert all(before != after for before, after in itertools.pairwise(seen_states)), "a decision is a change"
    assert states[-1] == seen_states[-1]
    began: Decision | None = None
    for decision in decisions:
        if decision.event_type == "start":
            began = decision
            assert decision.score is not None
            assert decision.peak_score >= decision.score
            assert decision.peak_score >= what.score_threshold
            assert decision.start_t_s == decision.t_s
        elif decision.event_type == "end":
            assert began is not None
            assert decision.start_t_s == began.t_s
            assert decision.duration_s == decision.t_s - began.t_s >= 0
            assert decision.peak_score >= began.peak_score
        assert (decision.state == "ON") == (decision.event_type == "start")


@given(rules(), histories())
def test_the_peak_is_the_highest_score_from_the_pending_moment_to_the_end(what: Rule, history: list[Moment]) -> None:
    decisions, _ = played(what, history)
    scores = {t_s: [s for t, s in history if t == t_s and not isinstance(s, str)] for t_s, _ in history}
    for end in (d for d in decisions if d.event_type == "end"):
        within = [s for t_s, some in scores.items() if end.start_t_s < t_s < end.t_s for s in some]
        assert end.peak_score >= max(within, default=0.0)
        assert end.peak_score in [s for some in scores.values() for s in some]


@given(rules(), histories())
def test_blindness_is_never_told_as_off(what: Rule, history: list[Moment]) -> None:
    _, states = played(what, history)
    for (_, seen), state in zip(history, states, strict=True):
        if isinstance(seen, str):
            assert state == "unknown"


@given(rules(), histories(), st.integers(0, 39), st.integers(1, 80))
def test_time_that_goes_backwards_raises_and_decides_nothing(
    what: Rule, history: list[Moment], where: int, back: int
) -> None:
    trigger = Trigger(what)
    for t_s, seen in history[: where + 1]:
        _ = trigger.blind(t_s, seen) if isinstance(seen, str) else trigger.update(t_s, seen)
        last_s = t_s
    before = (trigger.state, trigger.phase)
    with pytest.raises(ValueError, match="time went backwards"):
        trigger.update(last_s - back / 8, 1.0)
    with pytest.raises(ValueError, match="time went backwards"):
        trigger.blind(last_s - back / 8, "camera_lost")
    assert (trigger.state, trigger.phase) == before


tunings = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda pair: (max(pair) / 20, min(pair) / 20))


@given(rules(), histories(), st.lists(st.tuples(st.integers(0, 40), tunings), max_size=5))
def test_whenever_it_is_retuned_a_rule_starts_and_ends_by_the_thresholds_of_then(
    what: Rule, history: list[Moment], changes: list[tuple[int, tuple[float, float]]]
) -> None:
    trigger, began = Trigger(what), False
    for i, (t_s, seen) in enumerate(history):
        for at, (score_threshold, release_threshold) in changes:
            if at == i:
                before = trigger.state
                trigger.retune(score_threshold, release_threshold)
                assert trigger.state == before
        decision = trigger.blind(t_s, seen) if isinstance(seen, str) else trigger.update(t_s, seen)
        if decision is None or decision.event_type is None:
            continue
        assert decision.rule == trigger.rule
        assert (decision.event_type == "end") == began
        began = not began
        if began:
            assert decision.peak_score >= trigger.rule.score_threshold
        elif decision.reason == "gone":
            assert decision.score < trigger.rule.score_threshold


@given(rules(), histories(), st.integers(0, 40))
def test_retuning_to_the_same_is_nothing(what: Rule, history: list[Moment], at: int) -> None:
    expected, states = played(what, history)
    trigger, decisions = Trigger(what), []
    for i, (t_s, seen) in enumerate(history):
        if i == at:
            trigger.retune(what.score_threshold, what.release_threshold)
        decisions.append(trigger.blind(t_s, seen) if isinstance(seen, str) else trigger.update(t_s, seen))
        assert trigger.state == states[i]
    assert [decision for decision in decisions if decision is not None] == expected
