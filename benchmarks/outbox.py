"""What it costs to store an event before it is sent: CPU and wall time of one turn with one event, and bytes.

    python -m benchmarks.outbox [--events N] [--folder FOLDER] [--only time|bytes]

Each turn takes an event, hands it out and has it acknowledged, so each transaction also stores the last one's answer.
Turns without an event are measured beside them. The bar: CPU at most 0.3 ms, median at most 1 ms on a solid state
disk; an SD card's own time for making a write durable comes on top.

Bytes are those that the process has written in a day of one event a minute, with the day before kept, by a clock that
runs ahead; what the file system writes for itself comes on top.
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
from edged.ports import Clock
from tests.fakes import FakeClock

EVENTS = 5000
IDLE_TURNS = 20_000
MINUTES = 24 * 60
RULE = Rule("cat", "Cat on the porch", "cat", "full", 0.6, 0.4, 0.5, 3.0, 0.0)


def opened(path: Path, clock: Clock, max_rows: int = 50_000) -> DurableOutbox:
    """A store as `edged run` has it by default."""
    return DurableOutbox(
        path,
        clock,
        "11111111-2222-3333-4444-555555555555",
        "efficientnet-lite0-int8@00000000",
        max_rows=max_rows,
        max_bytes=32 << 20,
        max_age_s=604_800.0,
        keep_delivered_s=86_400.0,
    )


def written_bytes() -> int:
    """What this process has had written to a disk so far (proc_pid_io(5))."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    return int(fields["write_bytes"])


def day(folder: Path) -> int:
    """Bytes written in the second of two days of one event a minute, each acknowledged at once."""
    clock = FakeClock()
    box = opened(folder / "day.db", clock)
    begun = 0
    for minute in range(2 * MINUTES):
        if minute == MINUTES:
            begun = written_bytes()
        clock.advance(60.0)
        t_s = clock.monotonic()
        box.append([Decision(RULE, t_s, "ON", 0.91, "end" if minute % 2 else "start", 0.91, t_s)])
        event = box.next(live=True)
        assert event is not None
        box.acknowledge(event)
        box.append(())
    written = written_bytes() - begun
    assert not box.problems, box.problems
    box.close()
    return written


def measure(folder: Path, events: int, *, answered: bool, max_rows: int = 50_000) -> dict[str, float]:
    """Milliseconds an event. `answered`: whether the broker takes each; if not, the backlog grows up to its bound."""
    clock = SystemClock()
    box = opened(folder / f"{'answered' if answered else 'backlog'}-{max_rows}.db", clock, max_rows)
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
    """Prints what `measure` and `day` find."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--folder", type=Path, help="where to write; left out: the folder for temporary files")
    parser.add_argument("--only", choices=("time", "bytes"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edged-bench-", dir=args.folder) as name:
        if args.only != "time":
            written = day(Path(name))
            print(f"one event a minute   {written / MINUTES:.0f} bytes an event, {written / 1e6:.1f} MB a day")
        if args.only == "bytes":
            return
        for title, answered, max_rows in (
            ("acknowledged", True, 50_000),
            ("broker away", False, 50_000),
            ("broker away, full", False, args.events // 5),
        ):
            figures = measure(Path(name), args.events, answered=answered, max_rows=max_rows)
            print(f"{title:<20}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
