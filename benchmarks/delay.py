"""From a frame's time stamp to a subscriber on loopback, less that frame's own invoke.

    python -m benchmarks.delay [--events N]

A clip of 640x480 pixels with drawn shapes is the camera, the tiny model looks at it, a mosquitto on loopback is the
broker, and a thread of this process subscribes. The daemon is a child process that also keeps how long each invoke()
took (`--daemon`, for this file alone). Events of frames taken before the device was online, which its first health
message shows, waited for the connection and for the retained topics in front of them: they are counted by themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.process import PREFIX, write_config
from edged import app
from edged.config import load
from edged.edges.clock import SystemClock
from edged.edges.loopback_broker import LoopbackBroker
from edged.edges.mqtt_subscriber import Subscriber
from edged.fitted import Report
from tests.drawn import still_pictures
from tests.scenes import write_clip

MODEL = "shapes-int8"
EVENTS = 1000
CLIP_FPS = 20.0
CYCLE = ("circle", "circle", "background", "background")


class Arrivals:
    """What the subscriber heard: when each event came and when its frame was taken, wall seconds, by `seq`."""

    def __init__(self, wanted: int) -> None:
        self.enough = threading.Event()
        self.online_s = float("inf")
        self.events: dict[int, tuple[float, float]] = {}
        self._wanted = wanted

    def listen(self, topic: str, payload: bytes, retained: bool) -> None:
        now_s = time.time()
        if topic.endswith("/health"):
            self.online_s = min(self.online_s, now_s)
        if "/event/" in topic and not retained:
            event = json.loads(payload)
            taken_s = datetime.fromisoformat(event["time"]).timestamp()
            self.events[event["seq"]] = (now_s, taken_s)
            if len(self.events) >= self._wanted:
                self.enough.set()


def daemon(config_file: Path, root: Path) -> None:
    """`edged run` with a stopwatch around invoke(): at the end, each event's invoke in ms, in order, on stdout."""
    config = load(config_file)
    fitted = app.fit(config)
    invoke, last_ms = fitted.interpreter.invoke, 0.0
    invokes_ms: list[float] = []

    def timed() -> None:
        nonlocal last_ms
        began_s = time.perf_counter()
        invoke()
        last_ms = (time.perf_counter() - began_s) * 1e3

    def turn(report: Report) -> None:
        invokes_ms.extend([last_ms] * (report.events - len(invokes_ms)))

    fitted.interpreter.invoke = timed
    stop = threading.Event()
    with app.stop_on_signals(stop):
        app.run(config, fitted, stop, root=root, on_turn=turn)
    print(json.dumps(invokes_ms))


def measure(events: int = EVENTS) -> dict[str, Any]:
    """Percentiles of the delay in ms."""
    with LoopbackBroker(SystemClock()) as broker, tempfile.TemporaryDirectory(prefix="edged-bench-") as name:
        folder = Path(name)
        clip = folder / "visits.avi"
        scene = [cv2.resize(one, (640, 480)) for one in still_pictures(CYCLE * 10, seed=3)]
        write_clip(clip, scene, CLIP_FPS)
        config = write_config(folder, broker.port, MODEL, clip, "circle", CLIP_FPS)
        arrivals = Arrivals(events)
        subscriber = Subscriber("127.0.0.1", broker.port, "5", [f"{PREFIX}/#"], arrivals.listen)
        assert subscriber.start(10)
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.delay", "--daemon", str(config), str(folder / "state")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ,
        )
        try:
            assert arrivals.enough.wait(30 + events), "the events did not come"
        finally:
            process.terminate()
            output, _ = process.communicate()
            subscriber.stop()
    return figures(arrivals, json.loads(output))


def figures(arrivals: Arrivals, invokes_ms: list[float]) -> dict[str, Any]:
    """The delays of events taken while the device was online, and of those before."""
    online: list[float] = []
    early: list[float] = []
    for seq, (came_s, taken_s) in arrivals.events.items():
        if seq <= len(invokes_ms):
            delay_ms = (came_s - taken_s) * 1e3 - invokes_ms[seq - 1]
            (online if taken_s > arrivals.online_s else early).append(delay_ms)
    p50, p90, p99 = (float(np.percentile(online, q)) for q in (50, 90, 99))
    return {
        "events": len(online),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "max_ms": max(online),
        "early_events": len(early),
        "early_max_ms": max(early, default=0.0),
    }


def main() -> None:
    """Prints what `measure` finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--daemon", nargs=2, type=Path, metavar=("CONFIG", "STATE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.daemon:
        daemon(*args.daemon)
        return
    for name, value in measure(args.events).items():
        print(f"{name:<14} {value:9.3f}")


if __name__ == "__main__":
    main()
