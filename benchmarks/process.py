"""`edged run` as a process: resident memory, CPU time to the first classified frame, delay to a subscriber.

    python -m benchmarks.process

A clip of 640x480 pixels is the camera, a mosquitto on loopback the broker. The delay is from a frame's own time to a
subscriber in another thread of this process, less the frame's own invoke.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cv2

from edged.edges.clock import SystemClock
from edged.edges.loopback_broker import LoopbackBroker
from edged.edges.mqtt_subscriber import Subscriber
from tests.drawn import still_pictures
from tests.scenes import write_clip

DEFAULT, TINY = "efficientnet-lite0-int8", "shapes-int8"
STARTS = 5
EVENTS = 200
CLIP = Path(__file__).parent.parent / "edged" / "clips" / "cat.mp4"

CONFIG = """
[device]
name = "bench"
[camera]
source = "file:{clip}"
fps = {fps}
[model]
name = "{model}"
threads = 1
[[rule]]
label = "{label}"
delay_on_s = 0.0
delay_off_s = 0.0
[mqtt]
host = "127.0.0.1"
port = {port}
topic_prefix = "bench"
"""


def daemon(folder: Path, port: int, model: str, clip: Path, label: str, fps: float) -> subprocess.Popen[bytes]:
    """A running `edged run`."""
    config = folder / f"{model}.toml"
    config.write_text(CONFIG.format(clip=clip, model=model, label=label, port=port, fps=fps), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "edged", "run", "--config", str(config)],
        env={**os.environ, "STATE_DIRECTORY": str(folder / "state")},
        stderr=subprocess.DEVNULL,
    )


def memory(pid: int) -> dict[str, float]:
    """Resident memory of a process in MB of 10^6 bytes: all of it, and the anonymous part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    return {"rss_mb": kib["Rss"] * 1.024e-3, "anonymous_mb": kib["Anonymous"] * 1.024e-3}


def first_frame(folder: Path, port: int) -> tuple[float, float, dict[str, float]]:
    """One start: CPU seconds and wall seconds to the first classified frame, and memory ten seconds of frames later."""
    seen: list[dict[str, Any]] = []
    frames = threading.Event()
    running = threading.Event()

    def listen(topic: str, payload: bytes, retained: bool) -> None:
        if retained or not payload.startswith(b"{"):
            return
        message = json.loads(payload)
        if topic.endswith("/state/cat") and message["state"] != "unknown":
            running.set()
        if topic.endswith("/health") and message["frames"]:
            seen.append(message)
            frames.set()

    subscriber = Subscriber("127.0.0.1", port, "5", ["bench/#"], listen)
    assert subscriber.start(10)
    began_s = time.perf_counter()
    process = daemon(folder, port, DEFAULT, CLIP, "cat", 10)
    try:
        # The first decided state: some turns after the first frame, so that the figure is an upper bound.
        assert running.wait(60)
        wall_s = time.perf_counter() - began_s
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu_s = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
        threading.Event().wait(10)
        used = memory(process.pid)
    finally:
        process.terminate()
        process.wait()
        subscriber.stop()
    return cpu_s, wall_s, used


def delays(folder: Path, port: int) -> list[float]:
    """Milliseconds from a frame's own time to the subscriber, less that frame's invoke, for each event."""
    clip = folder / "visits.avi"
    labels = [label for _ in range(10) for label in ("circle", "circle", "background", "background")]
    scene = [cv2.resize(one, (640, 480)) for one in still_pictures(labels, seed=3)]
    write_clip(clip, scene, 20.0)
    arrived: list[tuple[float, float]] = []
    invoke_ms: list[float] = []
    enough = threading.Event()

    def listen(topic: str, payload: bytes, retained: bool) -> None:
        now_s = time.time()
        message = json.loads(payload) if payload.startswith(b"{") else {}
        if "/health" in topic and message["invoke_ms"]["p50"] is not None:
            invoke_ms.append(message["invoke_ms"]["p50"])
        if "/event/" in topic and not retained:
            taken = message["time"].replace("Z", "+00:00")
            from datetime import datetime

            arrived.append((now_s, datetime.fromisoformat(taken).timestamp()))
            if len(arrived) >= EVENTS:
                enough.set()

    subscriber = Subscriber("127.0.0.1", port, "5", ["bench/#"], listen)
    assert subscriber.start(10)
    process = daemon(folder, port, TINY, clip, "circle", 20)
    try:
        assert enough.wait(EVENTS)
    finally:
        process.terminate()
        process.wait()
        subscriber.stop()
    invoke = statistics.median(invoke_ms) if invoke_ms else 0.0
    return [(got_s - taken_s) * 1e3 - invoke for got_s, taken_s in arrived]


def measure() -> dict[str, float]:
    """Everything this file measures, by name."""
    with LoopbackBroker(SystemClock()) as broker, tempfile.TemporaryDirectory(prefix="edged-bench-") as name:
        folder = Path(name)
        first_frame(folder, broker.port)  # fills the page cache and compiles byte-code
        starts = [first_frame(folder, broker.port) for _ in range(STARTS)]
        late_ms = delays(folder, broker.port)
    quantiles = statistics.quantiles(late_ms, n=100)
    return {
        "first_frame_cpu_s": statistics.median(cpu_s for cpu_s, _, _ in starts),
        "first_frame_wall_s": statistics.median(wall_s for _, wall_s, _ in starts),
        "rss_mb": max(used["rss_mb"] for *_, used in starts),
        "anonymous_mb": max(used["anonymous_mb"] for *_, used in starts),
        "delay_p50_ms": statistics.median(late_ms),
        "delay_p99_ms": quantiles[98],
        "delay_events": float(len(late_ms)),
    }


def main() -> None:
    """Prints what `measure` finds."""
    for name, value in measure().items():
        print(f"{name:<20} {value:10.3f}")


if __name__ == "__main__":
    main()
