"""Settings made while running, and which of the two holds: what was set, or what the file says.

Law: a setting is kept together with the file's value at that time. It holds until that value in the file changes; then
the file wins, and the setting is forgotten. Nothing is read or written here: `load` takes what was kept, `as_json`
gives what is to be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from edged.core.types import Rule

MIN_THRESHOLD, MAX_THRESHOLD = 0.01, 1.0
ENABLED_IN_FILE = True
"""The file has no such key: a daemon that is started is to look."""

Origin = Literal["file", "runtime"]


class Settings:
    """The settings of one device: whether detection is on, and the thresholds of its rules.

    Args:
        rules: as the file has them.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._filed = {rule.name: rule for rule in rules}
        self._enabled = ENABLED_IN_FILE
        self._thresholds: dict[str, float] = {}  # by rule; only those that differ from the file's

    @classmethod
    def load(cls, kept: object, rules: Sequence[Rule]) -> Settings:
        """Joins what was kept with what the file says now.

        Args:
            kept: what `as_json` once gave, or anything else: an entry that is damaged, was made for another value of
                the file, or belongs to a rule that is gone, is no entry.
        """
        settings = cls(rules)
        content = kept if isinstance(kept, Mapping) else {}
        entry = _entry(content.get("enabled"))
        if isinstance(entry["value"], bool) and entry["file"] is ENABLED_IN_FILE:
            settings._enabled = entry["value"]
        thresholds = content.get("threshold")
        for name, found in thresholds.items() if isinstance(thresholds, Mapping) else ():
            value, at_that_time = _number(_entry(found)["value"]), _number(_entry(found)["file"])
            rule = settings._filed.get(name)
            if rule is None or value is None or at_that_time != rule.score_threshold:
                continue
            if MIN_THRESHOLD <= value <= MAX_THRESHOLD:
                settings.set_threshold(name, value)
        return settings

    @property
    def enabled(self) -> bool:
        """Whether detection is switched on."""
        return self._enabled

    def threshold(self, rule: str) -> float:
        """The score_threshold in force.

        Raises:
            KeyError: no rule has that name.
        """
        return self._thresholds.get(rule, self._filed[rule].score_threshold)

    def rule(self, rule: str) -> Rule:
        """The rule with its thresholds in force; release_threshold follows in its configured proportion.

        Raises:
            KeyError: no rule has that name.
        """
        filed = self._filed[rule]
        value = self._thresholds.get(rule)
        if value is None:
            return filed
        # Rounded, since 0.6 * 2 / 3 is no number for people; never above the threshold that it belongs to.
        release = min(value, round(value * filed.release_threshold / filed.score_threshold, 6))
        return replace(filed, score_threshold=value, release_threshold=release)

    def rules(self) -> tuple[Rule, ...]:
        """All of them, as they are in force, in the order of the file."""
        return tuple(self.rule(name) for name in self._filed)

    def set_enabled(self, on: bool) -> bool:
        """Switches detection; whether that changed anything and is to be kept."""
        changed, self._enabled = on != self._enabled, on
        return changed

    def set_threshold(self, rule: str, value: float) -> bool:
        """Sets a score_threshold; whether that changed anything and is to be kept.

        Raises:
            KeyError: no rule has that name.
            ValueError: not within 0.01 to 1. `core.commands` lets neither come this far.
        """
        if not MIN_THRESHOLD <= value <= MAX_THRESHOLD:
            raise ValueError(f"rule {rule}: expected {MIN_THRESHOLD} to {MAX_THRESHOLD}, found {value}")
        changed = value != self.threshold(rule)
        if value == self._filed[rule].score_threshold:
            self._thresholds.pop(rule, None)
        else:
            self._thresholds[rule] = value
        return changed

    def as_json(self) -> dict[str, Any]:
        """What is to be kept: plain values, empty where nothing differs from the file."""
        kept: dict[str, Any] = {}
        if self._enabled is not ENABLED_IN_FILE:
            kept["enabled"] = {"value": self._enabled, "file": ENABLED_IN_FILE}
        if self._thresholds:
            kept["threshold"] = {
                name: {"value": value, "file": self._filed[name].score_threshold}
                for name, value in self._thresholds.items()
            }
        return kept

    def sources(self) -> dict[str, Any]:
        """Where each value comes from: `{"enabled": "file" | "runtime", "threshold": {rule: "file" | "runtime"}}`."""
        return {
            "enabled": _origin(self._enabled is not ENABLED_IN_FILE),
            "threshold": {name: _origin(name in self._thresholds) for name in self._filed},
        }


def _origin(is_set: bool) -> Origin:
    return "runtime" if is_set else "file"


def _entry(found: object) -> Mapping[str, object]:
    if isinstance(found, Mapping) and {"value", "file"} <= set(found):
        return found
    return {"value": None, "file": None}


def _number(found: object) -> float | None:
    return float(found) if isinstance(found, float | int) and not isinstance(found, bool) and abs(found) <= 1 else None
