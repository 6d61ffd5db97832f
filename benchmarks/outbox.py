"""What it costs to store an event before it is sent: CPU and wall time of one turn with one event.

    python -m benchmarks.outbox [--events N] [--folder FOLDER]

Each turn takes an event, hands it out and has it acknowledged, so each transaction also stores the last one's answer.
Turns without an event are measured beside them. The bar: CPU at most 0.3 ms, median at most 1 ms on a solid state
disk; an SD card's own time for making a write durable comes on top.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from edged.core.types import Decision, Rule
from edged.edges.clock import SystemClock
from edged.edges.outbox_fallback import DurableOutbox

EVENTS = 5000
IDLE_TURNS = 20_000
RULE = Rule("cat", "Cat on the porch", "cat", "full", 0.6, 0.4, 0.5, 3.0, 0.0)


def measure(folder: Path, events: int, *, answered: bool, max_rows: int = 50_000) -> dict[str, float]:
    """Milliseconds an event. `answered`: whether the broker takes each; if not, the backlog grows up to its bound."""
    clock = SystemClock()
    box = DurableOutbox(
        folder / f"{'answered' if answered else 'backlog'}-{max_rows}.db",
        clock,
        "boot",
        "toy@00000000",
        max_rows=max_rows,
        max_bytes=32 << 20,
        max_age_s=604_800.0,
        keep_delivered_s=86_400.0,
    )
    walls_ms, cpu_s = [], 0.0
    for number in range(events):
        t_s = clock.monotonic()
        kind = "end" if number % 2 else "start"
        decision = Decision(RULE, t_s, "ON", 0.91, kind, 0.91, t_s)  # type: ignore[arg-type]
        began_s, cpu_began_s = time.perf_counter(), time.thread_time()
        box.append([decision])
        cpu_s += time.thread_time() - cpu_began_s
        walls_ms.append((time.perf_counter() - began_s) * 1e3)
        event = box.next(live=True) if answered else None
        if event is not None:
            box.acknowledge(event)
    began_s = time.perf_counter()
    box.append(())  # stores the last answer
    for _ in range(IDLE_TURNS):
        box.append(())
    idle_us = (time.perf_counter() - began_s) / IDLE_TURNS * 1e6
    assert not box.problems, box.problems
    box.close()
    p50, p99 = (float(np.percentile(walls_ms, q)) for q in (50, 99))
    return {"cpu_ms": cpu_s / events * 1e3, "p50_ms": p50, "p99_ms": p99, "max_ms": max(walls_ms), "idle_us": idle_us}


def main() -> None:
    """Prints what `measure` finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--folder", type=Path, help="where to write; left out: the folder for temporary files")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edged-bench-", dir=args.folder) as name:
        for title, answered, max_rows in (
            ("acknowledged", True, 50_000),
            ("broker away", False, 50_000),
            ("broker away, full", False, args.events // 5),
        ):
            figures = measure(Path(name), args.events, answered=answered, max_rows=max_rows)
            print(f"{title:<20}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
