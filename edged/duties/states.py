"""The state messages of rules: what they begin as, and what a turn's decisions make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edged.core import wire
from edged.core.types import Decision, Event, Message, Rule
from edged.ports import Clock


def unknown(topics: wire.Topics, rules: Sequence[Rule], clock: Clock, since_s: float) -> Iterator[Message]:
    """Before anything was decided."""
    for rule in rules:
        yield wire.state(topics, rule.name, "unknown", None, clock.label(since_s), None, None)


def decided(
    topics: wire.Topics, clock: Clock, events: Sequence[Event], decisions: Sequence[Decision]
) -> Iterator[Message]:
    """One for each decision.

    Args:
        events: what the outbox made of those decisions that are events, in their order.
    """
    remaining = iter(events)
    for decision in decisions:
        event = next(remaining) if decision.event_type is not None else None
        since = event.time if event else clock.label(decision.t_s)
        seq, id_ = (event.seq, event.id) if event else (None, None)
        yield wire.state(topics, decision.rule.name, decision.state, decision.score, since, seq, id_)
