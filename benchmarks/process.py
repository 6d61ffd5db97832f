"""`edged run` as a process: resident memory, and the time to the first classified frame.

    python -m benchmarks.process

The camera is the clip of 640x480 pixels that ships, and, for memory, the same frames as a folder of PNG pictures: what
a clip needs beyond that is FFmpeg's decoder. The broker is a mosquitto on loopback.
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
from dataclasses import dataclass
from pathlib import Path

import cv2

from benchmarks.figures import memory
from edged.edges.clock import SystemClock
from edged.edges.loopback_broker import LoopbackBroker
from edged.edges.mqtt_subscriber import Subscriber

MODEL = "efficientnet-lite0-int8"
CLIP = Path(__file__).parent.parent / "edged" / "clips" / "cat.mp4"
FPS = 10
STARTS = 5
SETTLE_S = 10.0
"""How long frames flow before memory is read."""
PREFIX = "bench"

# Shapes come and go here faster than anything that walks: the gate looks at every frame, and lets it pass.
CONFIG = """
[device]
name = "bench"
[camera]
source = "file:{source}"
fps = {fps}
[model]
name = "{model}"
threads = 1
[motion]
idle_fps = 120
[[rule]]
label = "{label}"
delay_on_s = 0.0
delay_off_s = 0.0
[mqtt]
host = "127.0.0.1"
port = {port}
topic_prefix = "{prefix}"
"""


@dataclass(frozen=True)
class Start:
    """One run of the daemon: seconds to the first classified frame, and its memory some seconds of frames later."""

    cpu_s: float
    wall_s: float
    rss_mb: float
    anonymous_mb: float


def write_config(folder: Path, port: int, model: str, source: Path, label: str, fps: float) -> Path:
    """A configuration with one rule that decides at once."""
    file = folder / "edged.toml"
    text = CONFIG.format(source=source, model=model, label=label, port=port, fps=fps, prefix=PREFIX)
    file.write_text(text, encoding="utf-8")
    return file


def start(folder: Path, port: int, source: Path) -> Start:
    """Starts `edged run` and ends it again."""
    running = threading.Event()

    def listen(topic: str, payload: bytes, retained: bool) -> None:
        # An earlier run's state is retained.
        if topic.endswith("/state/cat") and not retained and json.loads(payload)["state"] != "unknown":
            running.set()

    config = write_config(folder, port, MODEL, source, "cat", FPS)
    subscriber = Subscriber("127.0.0.1", port, "5", [f"{PREFIX}/#"], listen)
    assert subscriber.start(10)
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "edged", "run", "--config", str(config)],
        env={**os.environ, "STATE_DIRECTORY": str(folder / "state")},
        stderr=subprocess.DEVNULL,
    )
    try:
        # The first decided state: some turns after the first frame, so that the figure is an upper bound.
        assert running.wait(60), "no state was decided for a minute"
        wall_s = time.perf_counter() - began_s
        cpu_s = cpu_seconds(process.pid)
        time.sleep(SETTLE_S)
        return Start(cpu_s, wall_s, **memory(process.pid))
    finally:
        process.terminate()
        process.wait()
        subscriber.stop()


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, in steps of 10 ms (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_pictures(folder: Path) -> Path:
    """The clip's frames as a folder of pictures."""
    folder.mkdir()
    clip = cv2.VideoCapture(str(CLIP))
    number = 0
    while (read := clip.read())[0]:
        assert cv2.imwrite(str(folder / f"{number:04}.png"), read[1])
        number += 1
    clip.release()
    assert number, f"no frames in {CLIP.name}"
    return folder


def measure() -> dict[str, float]:
    """Everything this file measures, by name: medians of time, the highest of memory."""
    with LoopbackBroker(SystemClock()) as broker, tempfile.TemporaryDirectory(prefix="edged-bench-") as name:
        folder = Path(name)
        pictures = write_pictures(folder / "pictures")
        start(folder, broker.port, CLIP)  # fills the page cache and compiles byte-code
        clip = [start(folder, broker.port, CLIP) for _ in range(STARTS)]
        still = [start(folder, broker.port, pictures) for _ in range(STARTS)]
    return {
        "starts": STARTS,
        "first_frame_cpu_s": statistics.median(one.cpu_s for one in clip),
        "first_frame_wall_s": statistics.median(one.wall_s for one in clip),
        "pictures_rss_mb": max(one.rss_mb for one in still),
        "pictures_anonymous_mb": max(one.anonymous_mb for one in still),
        "clip_rss_mb": max(one.rss_mb for one in clip),
        "clip_anonymous_mb": max(one.anonymous_mb for one in clip),
    }


def main() -> None:
    """Prints what `measure` finds."""
    for name, value in measure().items():
        print(f"{name:<22} {value:10.3f}")


if __name__ == "__main__":
    main()
