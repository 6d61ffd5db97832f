"""edged's loop as a contestant: every object of a run but a camera and a broker, paced by the driver's blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from edged import loop
from edged.core import wire
from edged.core.gate import EveryRegion
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.stats import Ring
from edged.core.trigger import Decider
from edged.core.types import FULL, End, Look, Message, ModelSpec, Region, Rule
from edged.device import TURN_S
from edged.duties.publisher import MqttPublisher
from edged.edges.camera import CaptureCamera
from edged.edges.camera_memory import MemorySource
from edged.edges.clock import SystemClock
from edged.edges.identity import Numbering, new_id
from edged.edges.outbox_memory import MemoryOutbox
from edged.edges.tflite import Interpreter, TfliteClassifier
from edged.ports import Camera, Notice

WIDTH_PX, HEIGHT_PX = 640, 480
FPS = 10.0


def run(interpreter: Interpreter, spec: ModelSpec, blocks: Iterator[int]) -> None:
    """Turns the loop as often as `blocks` says, with a capture thread that hands over every picture."""
    clock = SystemClock()
    label = spec.labels[-1]
    region = Region("full", FULL, spec.input.fit)
    rule = Rule("bench", "bench", label, region.name, 1.0, 0.9, 0.5, 3.0, 0.0)
    pipeline, problems = Pipeline(clock.monotonic()), Problems()
    outbox = MemoryOutbox(Numbering(clock, new_id(), "bench", "bench"), clock, max_rows=1000)
    topics = wire.Topics("edged", "bench")
    info = Message(topics.info, b"{}", 1, retain=True)
    publisher = MqttPublisher(
        _NoBroker(),
        outbox,
        clock,
        topics,
        (rule,),
        pipeline,
        problems,
        (info,),
        lambda: info,
        drain_per_s=1.0,
        will_delay=True,
    )
    camera = CaptureCamera(MemorySource(clock, WIDTH_PX, HEIGHT_PX), clock, FPS, lockstep=True)
    loop.run(
        _Paced(camera, blocks),
        EveryRegion((region,)),
        TfliteClassifier(interpreter, spec, (label,), Ring(600)),
        Decider((rule,), (label,)),
        pipeline,
        outbox,
        publisher,
        _NoHeartbeat(),
        threading.Event(),
        TURN_S,
    )


class _Paced:
    """A camera around a camera: between blocks it waits for the driver, in front of the next picture."""

    dropped = 0

    def __init__(self, camera: Camera, blocks: Iterator[int]) -> None:
        self._camera, self._blocks = camera, blocks
        self._left = 0

    def __enter__(self) -> Self:
        self._camera.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._camera.__exit__(kind, error, trace)

    def newest(self, timeout_s: float) -> Look:
        if not self._left:
            self._left = next(self._blocks, 0)
            if not self._left:
                return End(0.0)
        self._left -= 1
        return self._camera.newest(timeout_s)


class _NoBroker:
    """A broker that is never there: the publisher's turn costs what it costs while nothing happens."""

    def start(self) -> None: ...

    def poll(self) -> Notice | None:
        return None

    def publish(self, message: Message) -> int | None:  # noqa: ARG002
        return None

    def drop(self, text: str, wait_s: float = 0.0) -> None: ...

    def stop(self, reason_code: int) -> None: ...


class _NoHeartbeat:
    def beat(self) -> None: ...
