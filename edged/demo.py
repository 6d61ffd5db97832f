"""The demonstration: the whole device on a bundled clip, a broker on loopback, and a subscriber that is asked what it
received. Part of the composition root; nothing in it is faked but the camera, which is a clip."""

from __future__ import annotations

import gc
import json
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged import app
from edged.config import load
from edged.core.errors import EdgedError
from edged.edges.clock import SystemClock
from edged.edges.loopback_broker import LoopbackBroker
from edged.edges.mqtt_subscriber import Subscriber
from edged.fitted import Report

CLIP = Path(__file__).parent / "clips" / "cat.mp4"
PREFIX = "edged-demo"
WARM_UP_FRAMES = 20

_CONFIG = """
[device]
name = "demo"

[camera]
source = "file:{clip}"
at_end = "{at_end}"

[[rule]]
label = "cat"

[mqtt]
host = "{host}"
port = {port}
topic_prefix = "{prefix}"
protocol = "{protocol}"
"""


@dataclass(frozen=True)
class Summary:
    """What the demonstration came to.

    Attributes:
        received: events that the subscriber received.
        heap_growth_bytes: Python heap from the end of the warm-up to the end.
        cpu_ms_per_frame: CPU time of the whole process since the warm-up, all threads, the subscriber's too.
            Both None when it ended before that.
    """

    report: Report
    received: int
    heap_growth_bytes: int | None
    cpu_ms_per_frame: float | None


def play(
    seconds: float | None,
    stop: threading.Event,
    on_broker: Callable[[str], None],
    on_event: Callable[[dict[str, Any]], None],
    on_turn: Callable[[Report], None],
) -> Summary:
    """Plays the clip once, or for some seconds over and over.

    Args:
        on_broker: told which broker was started.
        on_event: called with each event as the subscriber received it, in a thread of its own.
        on_turn: called after each turn of the loop.

    Raises:
        EdgedError: there is no broker to be had, or the subscriber cannot reach it.
    """
    received: list[dict[str, Any]] = []

    def on_message(_topic: str, payload: bytes, _retained: bool) -> None:
        event = json.loads(payload)
        received.append(event)
        on_event(event)

    with LoopbackBroker(SystemClock()) as broker, tempfile.TemporaryDirectory(prefix="edged-demo-") as folder:
        on_broker(broker.name)
        subscriber = Subscriber(broker.host, broker.port, broker.protocol, [f"{PREFIX}/demo/event/#"], on_message)
        if not subscriber.start(timeout_s=10.0):
            raise EdgedError("the demo's subscriber could not reach the demo's broker")
        config_file = Path(folder) / "demo.toml"
        config_file.write_text(
            _CONFIG.format(
                clip=CLIP,
                at_end="loop" if seconds else "stop",
                host=broker.host,
                port=broker.port,
                prefix=PREFIX,
                protocol=broker.protocol,
            ),
            encoding="utf-8",
        )
        timer = threading.Timer(seconds, stop.set) if seconds else None
        if timer:
            timer.start()
        meter = _Meter()
        try:
            report = _run(config_file, Path(folder), stop, meter, on_turn)
            growth, cpu_ms = meter.growth(), meter.cpu_ms_per_frame()
        finally:
            if timer:
                timer.cancel()
            subscriber.stop()
            meter.close()
    return Summary(report, len(received), growth, cpu_ms)


def _run(
    config_file: Path, root: Path, stop: threading.Event, meter: _Meter, on_turn: Callable[[Report], None]
) -> Report:
    config = load(config_file)

    def turned(report: Report) -> None:
        meter.turn(report.frames)
        on_turn(report)

    return app.run(config, app.fit(config, root), stop, root=root, on_turn=turned)


class _Meter:
    """What the run costs from the end of the warm-up to its last frame: Python's heap, by tracemalloc, and CPU time."""

    def __init__(self) -> None:
        # From the start: what the warm-up made and a later frame replaces is no growth.
        tracemalloc.start()
        self._began: tuple[int, float, int] | None = None
        self._last: tuple[int, float, int] | None = None

    def turn(self, frames: int) -> None:
        if frames < WARM_UP_FRAMES:
            return
        if self._began is None:
            gc.collect()
        reading = tracemalloc.get_traced_memory()[0], time.process_time(), frames
        self._began, self._last = self._began or reading, reading

    def growth(self) -> int | None:
        return self._last[0] - self._began[0] if self._began and self._last else None

    def cpu_ms_per_frame(self) -> float | None:
        if self._began is None or self._last is None or self._last[2] == self._began[2]:
            return None
        return (self._last[1] - self._began[1]) * 1e3 / (self._last[2] - self._began[2])

    def close(self) -> None:
        tracemalloc.stop()
