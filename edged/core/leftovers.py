"""What an earlier configuration left retained on the broker, and what is to be remembered so that it can be cleared.

Law: pure, and tolerant of what was kept: a damaged record is no record. Only what edged put there is cleared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edged.core import wire


def record(
    topics: wire.Topics, rules: Sequence[str], discovery_topic: str, components: Mapping[str, Any]
) -> dict[str, Any]:
    """What to remember of this configuration.

    Args:
        discovery_topic: "" where discovery is off.
        components: as they were announced, those of removed rules among them, oldest first.
    """
    return {
        "root": topics.root,
        "rules": list(rules),
        "discovery_topic": discovery_topic,
        "components": dict(components),
    }


def stale(kept: Mapping[str, Any], topics: wire.Topics, rules: Sequence[str], discovery_topic: str) -> list[str]:
    """Topics that lie retained on the broker and belong to nothing any more.

    Args:
        kept: what `record` once gave, or anything else.
        topics, rules, discovery_topic: of the configuration as it is now.
    """
    root = kept.get("root")
    if not isinstance(root, str) or "/" not in root:
        return []
    prefix, _, device = root.rpartition("/")
    old, moved = wire.Topics(prefix, device), root != topics.root
    names = kept.get("rules")
    gone = [name for name in (names if isinstance(names, list) else []) if isinstance(name, str)]
    if not moved:
        gone = [name for name in gone if name not in rules]
    found = [topic for name in gone for topic in (old.state(name), old.threshold(name))]
    if moved:
        found += [old.availability, old.pipeline, old.info, old.enabled]
    before = kept.get("discovery_topic")
    if isinstance(before, str) and before and before != discovery_topic:
        found.append(before)
    return found


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
