"""The demonstration: the whole device on a bundled clip, a broker on loopback, and a subscriber that is asked what it
received. Part of the composition root; nothing in it is faked but the camera, which is a clip."""

from __future__ import annotations

import gc
import json
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged import app
from edged.config import load
from edged.core.errors import EdgedError
from edged.device import Report
from edged.edges.clock import SystemClock
from edged.edges.loopback_broker import LoopbackBroker
from edged.edges.mqtt_subscriber import Subscriber

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
        heap_growth_bytes: Python heap from the end of the warm-up to the end; None when it ended before that.
    """

    report: Report
    received: int
    heap_growth_bytes: int | None


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
        heap = _Heap()
        try:
            report = _run(config_file, Path(folder), stop, heap, on_turn)
            growth = heap.growth()
        finally:
            if timer:
                timer.cancel()
            subscriber.stop()
            heap.close()
    return Summary(report, len(received), growth)


def _run(
    config_file: Path, root: Path, stop: threading.Event, heap: _Heap, on_turn: Callable[[Report], None]
) -> Report:
    config = load(config_file)

    def turned(report: Report) -> None:
        if report.frames >= WARM_UP_FRAMES:
            heap.begin()
        on_turn(report)

    return app.run(config, app.fit(config, root), stop, root=root, on_turn=turned)


class _Heap:
    """Growth of Python's heap since the warm-up, by tracemalloc."""

    def __init__(self) -> None:
        self._began: int | None = None

    def begin(self) -> None:
        if self._began is None:
            tracemalloc.start()
            gc.collect()
            self._began = tracemalloc.get_traced_memory()[0]

    def growth(self) -> int | None:
        if self._began is None:
            return None
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - self._began

    def close(self) -> None:
        tracemalloc.stop()
