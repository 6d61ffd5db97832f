"""The decision: scores over time in, changes out.

Law: whatever affects a rule's state lives in this file. It knows seconds and scores, never frames, clocks or topics.
One machine a rule, a comparator with hysteresis in front of it:

    IDLE --on--> PENDING --on for delay_on_s--> ACTIVE --off for delay_off_s--> REFRACTORY --refractory_s--> IDLE
                 PENDING --off or blind-------> IDLE
                                                ACTIVE --blind--> IDLE (ended with the reason of the blindness)

The comparator is on at score >= score_threshold, off at score < release_threshold, and keeps its value in between.
What subscribers see is ON in ACTIVE, unknown from a blind moment until the rule is decided anew, else OFF.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from edged.core.types import Decision, EventType, Region, Rule, Scores, State


class Phase(Enum):
    """Where a rule's machine stands."""

    IDLE = "idle"
    PENDING = "pending"
    ACTIVE = "active"
    REFRACTORY = "refractory"


class Trigger:
    """The machine of one rule. Starts IDLE and unknown."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.state: State = "unknown"
        self.phase = Phase.IDLE
        self._on = False
        self._t_s = float("-inf")
        self._since_s = 0.0  # of the phase; in ACTIVE, when the comparator went off
        self._start_s = 0.0
        self._peak = 0.0

    @property
    def undecided(self) -> bool:
        """Whether the next picture is needed: something is about to begin or to end, or nothing is known yet.

        In REFRACTORY with the comparator on it will begin as soon as that is over.
        """
        if self.phase is Phase.ACTIVE:
            return not self._on
        if self.phase is Phase.REFRACTORY:
            return self._on or self.state == "unknown"
        return self.phase is Phase.PENDING or self.state == "unknown"

    def update(self, t_s: float, score: float) -> Decision | None:
        """Judges one picture.

        Args:
            t_s: when it was taken; never earlier than the last call's.
            score: 0..1.

        Raises:
            ValueError: time went backwards, or the score is no number. Both are bugs of the caller.
        """
        self._advance(t_s)
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"rule {self.rule.name}: expected a score from 0 to 1, found {score}")
        was_on = self._on
        self._on = score >= (self.rule.release_threshold if was_on else self.rule.score_threshold)
        if self.phase is Phase.ACTIVE:
            return self._active(t_s, score, was_on)
        if self.phase is Phase.REFRACTORY:
            if t_s - self._since_s < self.rule.refractory_s:
                return self._off(t_s, score)
            self.phase = Phase.IDLE
        return self._waiting(t_s, score)

    def blind(self, t_s: float, reason: str) -> Decision | None:
        """Nothing can be seen from `t_s` on; repeats during the same blindness change nothing.

        Raises:
            ValueError: time went backwards.
        """
        self._advance(t_s)
        self._on = False
        was = self.phase
        if was is not Phase.REFRACTORY:
            self.phase = Phase.IDLE
        if was is Phase.ACTIVE:
            return self._end(t_s, None, "unknown", reason)
        if self.state == "unknown":
            return None
        self.state = "unknown"
        return Decision(self.rule, t_s, "unknown", None, reason=reason)

    def retune(self, score_threshold: float, release_threshold: float) -> None:
        """Other thresholds from the next picture on; nothing is decided here, and `state` stays what it is.

        ACTIVE stays ACTIVE: a picture below the new release_threshold then ends it as any other would. What is not
        ACTIVE owes nothing to the old threshold: where it was raised, only what reached the new one still counts, so
        PENDING begins anew unless its peak did, and nothing ever starts with a peak below its own threshold.

        Raises:
            ValueError: not 0 <= release_threshold <= score_threshold <= 1. A bug of the caller.
        """
        if not 0.0 <= release_threshold <= score_threshold <= 1.0:
            found = f"release {release_threshold}, score {score_threshold}"
            raise ValueError(f"rule {self.rule.name}: expected thresholds 0 <= release <= score <= 1, found {found}")
        raised = score_threshold > self.rule.score_threshold
        self.rule = replace(self.rule, score_threshold=score_threshold, release_threshold=release_threshold)
        if not raised or self.phase is Phase.ACTIVE:
            return
        if self.phase is Phase.PENDING:
            if self._peak >= score_threshold:
                return
            self.phase = Phase.IDLE
        self._on = False

    def _advance(self, t_s: float) -> None:
        if not t_s >= self._t_s:
            raise ValueError(f"rule {self.rule.name}: time went backwards, from {self._t_s} s to {t_s} s")
        self._t_s = t_s

    def _waiting(self, t_s: float, score: float) -> Decision | None:
        if not self._on:
            self.phase = Phase.IDLE
            return self._off(t_s, score)
        if self.phase is Phase.IDLE:
            self.phase, self._since_s, self._peak = Phase.PENDING, t_s, score
        self._peak = max(self._peak, score)
        if t_s - self._since_s < self.rule.delay_on_s:
            return None
        self.phase, self.state, self._start_s = Phase.ACTIVE, "ON", t_s
        return self._event("start", t_s, score)

    def _active(self, t_s: float, score: float, was_on: bool) -> Decision | None:
        if self._on:
            self._peak = max(self._peak, score)
            return None
        if was_on:
            self._since_s = t_s
        if t_s - self._since_s < self.rule.delay_off_s:
            # Off for now: only the higher threshold brings it back, or hysteresis would be lost here.
            return None
        self.phase, self._since_s = Phase.REFRACTORY, t_s
        return self._end(t_s, score, "OFF", "gone")

    def _off(self, t_s: float, score: float) -> Decision | None:
        if self.state == "OFF":
            return None
        self.state = "OFF"
        return Decision(self.rule, t_s, "OFF", score)

    def _end(self, t_s: float, score: float | None, state: State, reason: str) -> Decision:
        self.state = state
        return self._event("end", t_s, score, t_s - self._start_s, reason)

    def _event(
        self,
        kind: EventType,
        t_s: float,
        score: float | None,
        duration_s: float | None = None,
        reason: str | None = None,
    ) -> Decision:
        return Decision(self.rule, t_s, self.state, score, kind, self._peak, self._start_s, duration_s, reason)


class Decider:
    """All rules of a device, by region.

    Args:
        rules: in the order of the configuration.
        wanted: the labels whose scores `update` is given, in their order.
    """

    def __init__(self, rules: Sequence[Rule], wanted: Sequence[str]) -> None:
        self.triggers = tuple(Trigger(rule) for rule in rules)
        self._by_region: dict[str, list[tuple[int, Trigger]]] = {}
        for trigger in self.triggers:
            column = wanted.index(trigger.rule.label)
            self._by_region.setdefault(trigger.rule.region, []).append((column, trigger))

    def update(self, region: Region, t_s: float, scores: Scores) -> Sequence[Decision]:
        """What one classified region changes; `scores` is (wanted,) float32 and is not kept."""
        changes: list[Decision] | None = None
        for column, trigger in self._by_region.get(region.name, ()):
            change = trigger.update(t_s, float(scores[column]))
            if change is not None:
                changes = changes or []
                changes.append(change)
        return changes or ()

    def undecided(self, region: Region) -> bool:
        """Whether a rule of that region needs the next picture, see `Trigger.undecided`."""
        return any(trigger.undecided for _, trigger in self._by_region.get(region.name, ()))

    def blind(self, t_s: float, reason: str) -> Sequence[Decision]:
        """What it changes that nothing can be seen any more."""
        return [change for trigger in self.triggers if (change := trigger.blind(t_s, reason)) is not None]

    def retune(self, rule: str, score_threshold: float, release_threshold: float) -> None:
        """Gives the rule of that name other thresholds, see `Trigger.retune`; later decisions carry the new rule.

        Raises:
            KeyError: no rule has that name.
        """
        for trigger in self.triggers:
            if trigger.rule.name == rule:
                return trigger.retune(score_threshold, release_threshold)
        raise KeyError(rule)
