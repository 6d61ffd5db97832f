"""What earlier configurations left retained on the broker, and what is to be remembered so that it can be cleared.

Law: pure, and tolerant of what was kept: a damaged record is no record. Only what edged put there is cleared. What is
not cleared yet stays in the record, over any number of further changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edged.core import wire

Stale = Mapping[str, Sequence[str]]
"""Topics that belong to nothing any more, by the root (`<prefix>/<device>`) of the device that left them there."""

MAX_ROOTS = 8
"""A device that is renamed ever again without a broker remembers so many names."""


def record(
    topics: wire.Topics, rules: Sequence[str], discovery_topic: str, components: Mapping[str, Any], stale: Stale
) -> dict[str, Any]:
    """What to remember of this configuration.

    Args:
        discovery_topic: "" where discovery is off.
        components: as they were announced, those of removed rules among them, oldest first.
        stale: what is not cleared yet.
    """
    return {
        "root": topics.root,
        "rules": list(rules),
        "discovery_topic": discovery_topic,
        "components": dict(components),
        "stale": {root: list(left) for root, left in stale.items()},
    }


def stale(
    kept: Mapping[str, Any], topics: wire.Topics, rules: Sequence[str], discovery_topic: str
) -> dict[str, list[str]]:
    """What is to be cleared; of each root the description is the last, since it says whose topics they are.

    Args:
        kept: what `record` once gave, or anything else.
        topics, rules, discovery_topic: of the configuration as it is now.
    """
    left = _remembered(kept.get("stale"))
    root = kept.get("root")
    if isinstance(root, str) and _is_root(root):
        left.setdefault(root, []).extend(_left_by(kept, root))
    used = {discovery_topic, *_own(topics, rules)}
    found: dict[str, list[str]] = {}
    for name, theirs in list(left.items())[-MAX_ROOTS:]:
        description = _topics(name).info
        mine = [topic for topic in dict.fromkeys(theirs) if topic not in used and _is_of(topic, name)]
        if mine:
            found[name] = sorted(mine, key=description.__eq__)
    return found


def signs(stale: Stale, topics: wire.Topics) -> list[str]:
    """Topics that tell whether somebody else lives under another root by now: its description and its availability."""
    others = [_topics(root) for root in stale if root != topics.root]
    return [topic for other in others for topic in (other.info, other.availability)]


def _remembered(stale: Any) -> dict[str, list[str]]:
    if not isinstance(stale, Mapping):
        return {}
    return {
        root: [topic for topic in left if isinstance(topic, str)]
        for root, left in stale.items()
        if _is_root(root) and isinstance(left, list)
    }


def _left_by(kept: Mapping[str, Any], root: str) -> list[str]:
    """Everything that a configuration retained."""
    names, description = kept.get("rules"), kept.get("discovery_topic")
    rules = [name for name in (names if isinstance(names, list) else []) if isinstance(name, str)]
    return [*_own(_topics(root), rules), *([description] if isinstance(description, str) else [])]


def _own(topics: wire.Topics, rules: Iterable[str]) -> list[str]:
    of_rules = [topic for name in rules for topic in (topics.state(name), topics.threshold(name))]
    return [*of_rules, topics.availability, topics.pipeline, topics.enabled, topics.update, topics.info]


def _topics(root: str) -> wire.Topics:
    prefix, _, device = root.rpartition("/")
    return wire.Topics(prefix, device)


def _is_root(root: Any) -> bool:
    return isinstance(root, str) and "/" in root and not set(root) & set("+#\0")


def _is_of(topic: str, root: str) -> bool:
    """Whether edged may have put it there for that device."""
    device = root.rpartition("/")[2]
    is_its_own = topic.startswith(f"{root}/") or topic.endswith(f"/device/edged_{device}/config")
    return is_its_own and not set(topic) & set("+#\0")


def announced(kept: Mapping[str, Any], topics: wire.Topics) -> dict[str, Mapping[str, Any]]:
    """The components of an earlier configuration of the same device, oldest first; empty where there was none."""
    components = kept.get("components")
    if kept.get("root") != topics.root or not isinstance(components, Mapping):
        return {}
    return {
        str(key): component
        for key, component in components.items()
        if isinstance(component, Mapping) and isinstance(component.get("p"), str)
    }
