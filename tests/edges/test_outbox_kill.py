"""A process that stores events is killed at random moments: whatever it had stored is there, and nothing has a hole.

    EDGED_KILLS=100 python -m pytest tests/edges/test_outbox_kill.py

is the long form; CI kills a tenth of that.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from edged.core.types import Event
from tests.fakes import FakeClock
from tests.outboxes import drained, sqlite

ROOT = Path(__file__).parent.parent.parent
KILLS = int(os.environ.get("EDGED_KILLS", "2" if os.environ.get("EDGED_EMULATED") else "10"))

STORING = """
import random, sys
from pathlib import Path
from edged.edges.clock import SystemClock
from edged.edges.outbox_fallback import DurableOutbox
from tests.outboxes import end, settings, start

clock, chance = SystemClock(), random.Random(int(sys.argv[2]))
box = DurableOutbox(Path(sys.argv[1]), clock, "boot", "toy@ab12cd34", **settings())

def tell(events):
    assert not box.problems, box.problems
    for event in events:
        print(event.seq, event.id, flush=True)

tell(box.close_open())
active = set()
while True:
    decisions = []
    for name in ("cat", "dog", "bird"):
        if chance.random() < 0.5:
            decisions.append((end if name in active else start)(clock.monotonic(), name))
            active ^= {name}
    tell(box.append(decisions))
    while chance.random() < 0.7 and (event := box.next(live=chance.random() < 0.8)):
        chance.choice((box.acknowledge, box.acknowledge, box.refuse, box.release))(event)
"""


def killed(path: Path, seed: int, lines: int) -> list[tuple[int, str]]:
    """What a child said that it had stored until it was killed, after that many lines."""
    with subprocess.Popen(
        [sys.executable, "-c", STORING, str(path), str(seed)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL
    return [(int(line.split()[0]), line.split()[1]) for line in said if line.endswith("\n")]


def test_killed_at_random_moments_it_loses_nothing_that_it_had_stored(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    chance = random.Random(11)
    said: dict[int, str] = {}
    for seed in range(KILLS):
        for seq, id_ in killed(path, seed, chance.randrange(1, 120)):
            assert said.setdefault(seq, id_) == id_
    box = sqlite(path, FakeClock())
    box.close_open()
    assert box.replay(0) is not None
    events = sorted([*drained(box, live=True), *drained(box, live=False)], key=lambda event: event.seq)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    stored = {event.seq: event.id for event in events}
    assert said.items() <= stored.items()
    for name in ("cat", "dog", "bird"):
        check_episodes([event for event in events if event.rule == name])
    box.close()


def check_episodes(events: list[Event]) -> None:
    """Start and end follow each other, and nothing is left open."""
    assert len(events) > KILLS
    assert [event.event_type for event in (events[0], events[-1])] == ["start", "end"]
    assert all(one.event_type != other.event_type for one, other in pairwise(events))
    assert sum(event.reason == "daemon_restarted" for event in events) <= KILLS
