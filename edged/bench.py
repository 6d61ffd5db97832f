"""What the loop costs beside the bare network, measured in one process and interleaved. Part of the composition root.

The machine's speed drifts, so a block of turns of the real loop and a block of bare `invoke()` take turns, and the
figure is the ratio of their CPU time, all threads counted, block by block. The pictures come from memory.
"""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from edged import app, silent_loop
from edged.core.stats import Ring
from edged.core.types import FULL, End, Frame, Look, ModelSpec, Region
from edged.edges import board
from edged.edges.camera import CaptureCamera
from edged.edges.camera_memory import MemoryCamera, MemorySource
from edged.edges.clock import SystemClock
from edged.edges.state_folder import StateFolder, state_root
from edged.edges.tflite import RUNTIME, Interpreter, TfliteClassifier
from edged.ports import Camera

WIDTH_PX, HEIGHT_PX = 640, 480
BLOCK = 8
WARM_UP_BLOCKS = 3
FPS = 10.0
PARTS = ("newest", "pixels", "invoke", "after")


@dataclass(frozen=True)
class Blocks:
    """CPU milliseconds, one entry a block: a frame of the loop, a bare invoke(), and wall times of both."""

    frame_cpu_ms: list[float]
    invoke_cpu_ms: list[float]
    capture_cpu_ms: list[float]
    frame_wall_ms: list[float]
    invoke_wall_ms: list[float]

    @property
    def ratios(self) -> list[float]:
        """Block by block, what a frame costs over a bare invoke()."""
        return [frame / bare for frame, bare in zip(self.frame_cpu_ms, self.invoke_cpu_ms, strict=True)]


class Workbench:
    """The loop around one model, without a camera and without a broker.

    Raises:
        ModelError: the model cannot be used.
    """

    def __init__(self, model: str, threads: int | None) -> None:
        package, interpreter, self.spec = app.open_model(model, threads or 1)
        self.threads = threads or app.choose_threads(package, interpreter, FPS, StateFolder(state_root()), again=True)
        if self.threads != (threads or 1):
            interpreter = Interpreter(package.model_path, self.threads)
        self._label = next(iter(self.spec.groups), self.spec.labels[0])
        self._clock = SystemClock()
        self._invoke = interpreter.invoke
        self.classifier = TfliteClassifier(interpreter, self.spec, (self._label,), Ring(600), package.scores_output)
        self.region = Region("full", FULL, self.spec.input.fit)

    def blocks(self, count: int, capture_thread: bool) -> Blocks:
        """Measures so many pairs of blocks, after some to warm up."""
        bench = _Metronome(self._camera(capture_thread), self._invoke, count)
        self._turn(bench)
        return bench.blocks

    def heap_growth(self, frames: int) -> int:
        """What tracemalloc finds grown from the end of a warm-up to the last of so many frames, in bytes."""
        camera = _Tracer(self._camera(capture_thread=False), frames)
        self._turn(camera)
        return camera.growth_bytes

    def parts(self, count: int) -> dict[str, float]:
        """Median CPU milliseconds of each part of a frame, in the loop's thread, caches as the loop finds them."""
        times: dict[str, list[float]] = {name: [] for name in PARTS}
        with self._camera(capture_thread=False) as camera:
            for _ in range(count):
                marks = [time.thread_time_ns()]
                look = camera.newest(1.0)
                assert isinstance(look, Frame)
                marks.append(time.thread_time_ns())
                self.classifier.prepare(look, self.region)
                marks.append(time.thread_time_ns())
                self.classifier.invoke()
                marks.append(time.thread_time_ns())
                self.classifier.read()
                marks.append(time.thread_time_ns())
                for name, begin, end in zip(PARTS, marks, marks[1:], strict=False):
                    times[name].append((end - begin) / 1e6)
        return {name: statistics.median(samples) for name, samples in times.items()}

    def _turn(self, camera: Camera) -> None:
        silent_loop.run(camera, self.classifier, self.region, self._label, self._clock)

    def _camera(self, capture_thread: bool) -> Camera:
        source = MemorySource(self._clock, WIDTH_PX, HEIGHT_PX)
        if not capture_thread:
            return MemoryCamera(source)
        return CaptureCamera(source, self._clock, FPS, lockstep=True)


def measure(model: str, frames: int, threads: int | None) -> dict[str, Any]:
    """The figures of `edged bench --json`.

    Args:
        model: a name or a path.
        frames: how many frames of the loop, at least a few blocks.
        threads: left out, the thread count is measured again for this board and kept.

    Raises:
        ModelError: the model cannot be used.
    """
    bench = Workbench(model, threads)
    blocks = bench.blocks(max(2, frames // BLOCK), capture_thread=True)
    growth = bench.heap_growth(frames)
    frame_cpu_ms, invoke_cpu_ms = statistics.median(blocks.frame_cpu_ms), statistics.median(blocks.invoke_cpu_ms)
    return {
        "model": _identity(bench.spec),
        "runtime": RUNTIME,
        "threads": bench.threads,
        "frames": len(blocks.frame_wall_ms),
        "frame_width_px": WIDTH_PX,
        "frame_height_px": HEIGHT_PX,
        "invoke_ms": _percentiles(blocks.invoke_wall_ms),
        "frame_ms": _percentiles(blocks.frame_wall_ms),
        "cpu_ms_per_frame": round(frame_cpu_ms, 4),
        "cpu_ms_per_invoke": round(invoke_cpu_ms, 4),
        "overhead_ratio": round(frame_cpu_ms / invoke_cpu_ms, 4),
        "heap_growth_bytes": growth,
        "rss_mb": round(board.rss_mb() or 0.0, 1),
    }


class _Wrapped:
    """A camera around a camera: what the loop calls is where the measuring happens, so the loop stays the real one."""

    dropped = 0

    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    def __enter__(self) -> Self:
        self._camera.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._camera.__exit__(kind, error, trace)


class _Metronome(_Wrapped):
    """Lets the loop turn BLOCK times, then invokes BLOCK times, and so on."""

    def __init__(self, camera: Camera, invoke: Callable[[], None], count: int) -> None:
        super().__init__(camera)
        self._invoke = invoke
        self._count = count
        self._left = count + WARM_UP_BLOCKS
        self._turns = 0
        self._cpu_s = self._own_s = self._wall_s = 0.0
        self.blocks = Blocks([], [], [], [], [])

    def newest(self, timeout_s: float) -> Look:
        wall_s = time.perf_counter()
        if self._turns:
            self.blocks.frame_wall_ms.append((wall_s - self._wall_s) * 1e3)
        if self._turns == BLOCK:
            self._close_block()
        if not self._left:
            return End(0.0)
        if not self._turns:
            self._cpu_s, self._own_s = time.process_time(), time.thread_time()
        self._turns += 1
        self._wall_s = time.perf_counter()
        return self._camera.newest(timeout_s)

    def _close_block(self) -> None:
        cpu_s, own_s = time.process_time() - self._cpu_s, time.thread_time() - self._own_s
        bare_cpu_ms = self._bare()
        self._turns = 0
        self._left -= 1
        if self._left >= self._count:
            self.blocks.frame_wall_ms.clear()
            self.blocks.invoke_wall_ms.clear()
            return
        self.blocks.frame_cpu_ms.append(cpu_s * 1e3 / BLOCK)
        self.blocks.capture_cpu_ms.append((cpu_s - own_s) * 1e3 / BLOCK)
        self.blocks.invoke_cpu_ms.append(bare_cpu_ms)

    def _bare(self) -> float:
        """CPU milliseconds of one invoke(), over a block of them."""
        begin_s = time.process_time()
        for _ in range(BLOCK):
            wall_s = time.perf_counter()
            self._invoke()
            self.blocks.invoke_wall_ms.append((time.perf_counter() - wall_s) * 1e3)
        return (time.process_time() - begin_s) * 1e3 / BLOCK


class _Tracer(_Wrapped):
    """Reads tracemalloc after a warm-up and after the last frame."""

    def __init__(self, camera: Camera, frames: int) -> None:
        super().__init__(camera)
        self._frames = frames
        self._count = 0
        self._began_bytes = 0
        self.growth_bytes = 0

    def newest(self, timeout_s: float) -> Look:
        if self._count == WARM_UP_BLOCKS * BLOCK:
            tracemalloc.start()
            # Once for tracemalloc's own first frames, then for the reading.
            self._camera.newest(timeout_s)
            gc.collect()
            self._began_bytes = tracemalloc.get_traced_memory()[0]
        if self._count == WARM_UP_BLOCKS * BLOCK + self._frames:
            gc.collect()
            self.growth_bytes = tracemalloc.get_traced_memory()[0] - self._began_bytes
            tracemalloc.stop()
            return End(0.0)
        self._count += 1
        return self._camera.newest(timeout_s)


def _identity(spec: ModelSpec) -> str:
    return f"{spec.name}@{spec.sha256[:8]}"


def _percentiles(samples_ms: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(samples_ms, q)), 3) for q in (50, 95, 99)}
