"""What a long run leaves behind: Python heap and resident memory, with a real broker that acknowledges every event.

    python -m benchmarks.endurance [--frames N] [--only heap|rss] [--json]

The tiny model looks at drawn shapes that come and go, twenty frames a visit, as fast as it can: two events a visit.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edged import app
from edged.config import load
from edged.edges.clock import SystemClock
from edged.edges.loopback_broker import LoopbackBroker
from edged.fitted import Report
from tests.daemon import write_config
from tests.drawn import story_clip

VISIT = [("circle", 10), ("background", 10)]
RULE = {"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}
WARM_UP_FRAMES = 2000


@dataclass
class Growth:
    """What changed from the end of the warm-up to the last frame, in bytes; heap figures only where it was traced."""

    frames: int = 0
    events: int = 0
    acknowledged: int = 0
    heap_bytes: int = 0
    heap_peak_bytes: int = 0
    rss_bytes: int = 0


class Meter:
    """Reads memory after the warm-up and after so many frames more, then ends the run."""

    def __init__(self, frames: int, trace: bool, stop: threading.Event, warm_up: int = WARM_UP_FRAMES) -> None:
        self.growth = Growth()
        self._frames, self._trace, self._stop, self._warm_up = frames, trace, stop, warm_up
        self._began: Report | None = None
        if trace:
            # From the start: what the warm-up made and a later frame replaces is no growth.
            tracemalloc.start()
        self._rss_bytes = self._heap_bytes = 0

    def turn(self, report: Report) -> None:
        """Called after each turn of the loop."""
        if self._began is None:
            if report.frames >= self._warm_up:
                self._begin(report)
        elif report.frames >= self._began.frames + self._frames and not self._stop.is_set():
            self._end(report, self._began)

    def _begin(self, report: Report) -> None:
        gc.collect()
        self._began = report
        self._rss_bytes = rss_bytes()
        if self._trace:
            self._heap_bytes = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()

    def _end(self, report: Report, began: Report) -> None:
        peak = tracemalloc.get_traced_memory()[1] if self._trace else 0
        gc.collect()
        growth = self.growth
        growth.frames, growth.events = report.frames - began.frames, report.events - began.events
        growth.acknowledged = report.acknowledged - began.acknowledged
        growth.rss_bytes = rss_bytes() - self._rss_bytes
        if self._trace:
            growth.heap_bytes = tracemalloc.get_traced_memory()[0] - self._heap_bytes
            growth.heap_peak_bytes = peak - self._heap_bytes
            tracemalloc.stop()
        self._stop.set()


def run(frames: int, trace: bool, port: int, folder: Path, warm_up: int = WARM_UP_FRAMES) -> Growth:
    """Runs the device in this process against a broker on loopback."""
    clip = story_clip(folder / "visit.avi", VISIT)
    config_file = write_config(folder / "e.toml", f"file:{clip}", port, "endurance", [RULE], pace="max")
    config = load(config_file)
    stop = threading.Event()
    meter = Meter(frames, trace, stop, warm_up)
    app.run(config, app.fit(config, folder), stop, root=folder, on_turn=meter.turn)
    return meter.growth


def rss_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def surroundings() -> Iterator[tuple[int, Path]]:
    """A broker's port and an empty folder."""
    with LoopbackBroker(SystemClock()) as broker, tempfile.TemporaryDirectory(prefix="edged-") as folder:
        yield broker.port, Path(folder)


def main() -> None:
    """Both runs, the traced one a tenth as long: tracing slows every allocation down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--only", choices=("heap", "rss"))
    parser.add_argument("--json", action="store_true", help="one JSON object a run")
    arguments = parser.parse_args()
    if arguments.only != "rss":
        with surroundings() as (port, folder):
            heap = run(arguments.frames // 10, True, port, folder)
        text = f"grown {heap.heap_bytes} bytes, peak {heap.heap_peak_bytes} bytes above the start"
        tell(heap, f"heap: {text}", arguments.json)
    if arguments.only != "heap":
        with surroundings() as (port, folder):
            rss = run(arguments.frames, False, port, folder)
        tell(rss, f"RSS: grown {rss.rss_bytes // 1024} KiB", arguments.json)


def tell(growth: Growth, text: str, as_json: bool) -> None:
    """One line on stdout."""
    counts = f"{growth.frames} frames, {growth.events} events, {growth.acknowledged} acknowledged"
    print(json.dumps(asdict(growth)) if as_json else f"{text} over {counts}")


if __name__ == "__main__":
    main()
