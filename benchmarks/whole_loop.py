"""edged's loop as a contestant: every object of a run but a camera and a broker, paced by the driver's blocks."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from edged import silent_loop
from edged.core.stats import Ring
from edged.core.types import FULL, End, Look, ModelSpec, Region
from edged.edges.camera import CaptureCamera
from edged.edges.camera_memory import MemorySource
from edged.edges.clock import SystemClock
from edged.edges.tflite import Interpreter, TfliteClassifier
from edged.ports import Camera

WIDTH_PX, HEIGHT_PX = 640, 480
FPS = 10.0


def run(interpreter: Interpreter, spec: ModelSpec, blocks: Iterator[int]) -> None:
    """Turns the loop as often as `blocks` says, with a capture thread that hands over every picture."""
    clock = SystemClock()
    label = spec.labels[-1]
    region = Region("full", FULL, spec.input.fit)
    camera = CaptureCamera(MemorySource(clock, WIDTH_PX, HEIGHT_PX), clock, FPS, lockstep=True)
    classifier = TfliteClassifier(interpreter, spec, (label,), Ring(600))
    silent_loop.run(_Paced(camera, blocks), classifier, region, label, clock)


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
