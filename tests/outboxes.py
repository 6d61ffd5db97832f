"""Stores on a real disk for the tests of the outbox, and what to put into them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from edged.core.types import Decision, Event
from edged.edges.outbox import SqliteOutbox
from edged.edges.outbox_fallback import DurableOutbox
from edged.edges.outbox_memory import MemoryOutbox
from tests.fakes import FakeClock, rule

NOW_S = 1000.0
WEEK_S = 604_800.0

Box = SqliteOutbox | DurableOutbox | MemoryOutbox


def settings(**changes: Any) -> dict[str, Any]:
    """Bounds that no test meets unless it asks for it; answers are stored at the next turn."""
    bounds = {"max_rows": 50_000, "max_bytes": 1 << 25, "max_age_s": WEEK_S, "keep_delivered_s": 86_400.0}
    return {**bounds, "settle_s": 0.0, **changes}


def sqlite(path: Path, clock: FakeClock | None = None, boot_id: str = "boot", **changes: Any) -> SqliteOutbox:
    return SqliteOutbox(path, clock or FakeClock(NOW_S), boot_id, "toy@ab12cd34", **settings(**changes))


def durable(path: Path, clock: FakeClock | None = None, boot_id: str = "boot", **changes: Any) -> DurableOutbox:
    return DurableOutbox(path, clock or FakeClock(NOW_S), boot_id, "toy@ab12cd34", **settings(**changes))


def start(t_s: float = NOW_S, name: str = "cat") -> Decision:
    return Decision(rule(name), t_s, "ON", 0.9, "start", 0.91, t_s)


def end(t_s: float = NOW_S, name: str = "cat", began_s: float = NOW_S) -> Decision:
    return Decision(rule(name), t_s, "OFF", 0.1, "end", 0.95, began_s, t_s - began_s, "gone")


def drained(box: Box, *, live: bool) -> list[Event]:
    """Everything that is handed out now; it stays in flight."""
    events = []
    while (event := box.next(live=live)) is not None:
        events.append(event)
    return events


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


def after_power_cut(path: Path, folder: Path) -> Path:
    """What the disk holds at this moment, as another disk: the store that is open on `path` has ended unasked."""
    folder.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, folder)
    return folder / path.name
