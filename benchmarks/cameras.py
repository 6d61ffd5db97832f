"""What the camera path costs: raw encodings against full decoding, a still scene with and without the gate, how fresh.

    python -m benchmarks.cameras

Pictures come from memory in the encodings of real cameras, with the noise of a sensor; the model is the one that ships,
with one thread. CPU time of all threads, in blocks that take turns; the ages are wall time.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.figures import quartiles, spread
from edged import app, silent_loop
from edged.core.motion import MotionGate
from edged.core.shot import PictureFormat, Shot
from edged.core.stats import Ring
from edged.core.types import FULL, Frame, ModelSpec, Pixels, Region, Scores
from edged.edges.camera import CaptureCamera
from edged.edges.camera_file_stills import read_still
from edged.edges.clock import SystemClock
from edged.edges.pixels import Preprocessor, least_scale
from edged.edges.pixels_shot import Developer
from edged.edges.tflite import TfliteClassifier
from tests.shots import shot

MODEL = "efficientnet-lite0-int8"
PHOTOGRAPHS = Path(__file__).parent.parent / "models" / MODEL / "golden"
BLOCKS, FRAMES = 60, 20
PICTURES = {"yuyv": (640, 480), "jpeg": (1280, 720)}
NOISE, NOISY = 2.0, 8
"""Standard deviation of the noise in grey levels, and how many pictures take turns."""
FPS, IDLE_FPS = 10.0, 0.5
STILL_FRAMES, STILL_BLOCKS, LEARNING_FRAMES = 400, 5, 60
"""The gate lets everything pass while it learns the scene, which is not what a still scene costs."""
CAMERA_FPS, SLOW_FPS, AGES = 30.0, 5.0, 60


def pictures(width_px: int, height_px: int) -> list[Pixels]:
    """The same scene, as many photographs as fit, with another noise each time, BGR."""
    random = np.random.default_rng(0)
    tiles = [read_still(PHOTOGRAPHS / f"{name}.png") for name in ("cat", "coffee", "rocket")]
    tiles = [cv2.resize(tile, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_CUBIC) for tile in tiles]
    rows = [np.hstack([tiles[(row + column) % 3] for column in range(3)]) for row in range(2)]
    scene = np.vstack(rows)[:height_px, :width_px].astype(np.float32)
    noisy = (scene + random.normal(0.0, NOISE, scene.shape) for _ in range(NOISY))
    return [picture.round().clip(0, 255).astype(np.uint8) for picture in noisy]


class StillSource:
    """A camera in front of a still scene, as fast as it is asked; its time goes on at `fps`.

    With `paced`, a picture comes when it is due by the clock and carries the time at which it came.
    """

    def __init__(
        self,
        encoding: str,
        size: tuple[int, int],
        frames: int,
        fps: float,
        paced: bool = False,
        on_grab: Callable[[int], None] = lambda _count: None,
    ) -> None:
        shots = [shot(picture, encoding) for picture in pictures(*size)]
        self._format = shots[0][1]
        self._shots = [one for one, _ in shots]
        self._frames, self._fps, self._paced = frames, fps, paced
        self._count = 0
        self._on_grab = on_grab
        self._due_s = 0.0

    def open(self) -> PictureFormat:
        self._due_s = time.monotonic()
        return self._format

    def grab(self) -> float | None:
        self._count += 1
        self._on_grab(self._count)
        if self._count > self._frames:
            return None
        if not self._paced:
            return self._count / self._fps
        self._due_s += 1.0 / self._fps
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        return time.monotonic()

    def retrieve(self, out: Shot) -> None:
        taken = self._shots[self._count % len(self._shots)]
        out.size_bytes = taken.size_bytes
        out.data[: taken.size_bytes] = taken.data[: taken.size_bytes]

    def close(self) -> None: ...

    def came_back(self) -> bool:
        return False


def cheap(spec: ModelSpec, region: Region, encoding: str, size: tuple[int, int]) -> Callable[[Shot], None]:
    """edged's way from a shot to the input tensor."""
    developer = Developer(
        PictureFormat(*size, encoding),
        0,
        (),
        least_scale([region], spec.input_size, size, 0),  # type: ignore[arg-type]
    )
    preprocessor, tensor = Preprocessor(spec), np.zeros(spec.input_tensor.shape, spec.input_tensor.dtype)
    return lambda taken: preprocessor.into(developer.frame(taken), region.box, region.fit, tensor)


def usual(spec: ModelSpec, region: Region, encoding: str, size: tuple[int, int]) -> Callable[[Shot], None]:
    """The whole picture decoded and converted to BGR, then edged's own crop and interpolation of BGR."""
    preprocessor, tensor = Preprocessor(spec), np.zeros(spec.input_tensor.shape, spec.input_tensor.dtype)

    def decode(taken: Shot) -> Pixels:
        if encoding == "yuyv":
            return cv2.cvtColor(taken.data.reshape(size[1], size[0], 2), cv2.COLOR_YUV2BGR_YUYV)  # type: ignore[return-value]
        return cv2.imdecode(taken.data[: taken.size_bytes], cv2.IMREAD_COLOR)  # type: ignore[return-value]

    return lambda taken: preprocessor.into(Frame(decode(taken), 0.0), region.box, region.fit, tensor)


def _delivered(taken: Shot, buffer: Pixels) -> Shot:
    """The shot in a buffer of the slot, just written, as a capture thread leaves it."""
    np.copyto(buffer[: taken.size_bytes], taken.data[: taken.size_bytes])
    return Shot(buffer, taken.size_bytes, taken.t_s)


def encodings(spec: ModelSpec, region: Region) -> dict[str, Any]:
    """For each encoding: CPU milliseconds of both ways, their ratio block by block, the most that edged's allocates."""
    found = {}
    for encoding, size in PICTURES.items():
        shots = [shot(picture, encoding)[0] for picture in pictures(*size)]
        slot = [np.zeros_like(shots[0].data) for _ in range(3)]
        ways = [make(spec, region, encoding, size) for make in (cheap, usual)]
        costs_ms: list[list[float]] = [[], []]
        for block in range(BLOCKS + 2):
            for way, costs in zip(ways, costs_ms, strict=True):
                cost_s = 0.0
                for index in range(FRAMES):
                    delivered = _delivered(shots[index % NOISY], slot[index % len(slot)])
                    begin_s = time.process_time()
                    way(delivered)
                    cost_s += time.process_time() - begin_s
                if block >= 2:
                    costs.append(cost_s * 1e3 / FRAMES)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for taken in shots:
            ways[0](taken)
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        found[encoding] = {
            "edged_ms": statistics.median(costs_ms[0]),
            "usual_ms": statistics.median(costs_ms[1]),
            "ratio": quartiles([mine / other for mine, other in zip(*costs_ms, strict=True)]),
            "peak_bytes": peak,
            "picture_bytes": size[0] * size[1] * 3,
            "shot_bytes": shots[0].size_bytes,
        }
    return found


class Counting:
    """A classifier that counts."""

    def __init__(self, classifier: TfliteClassifier) -> None:
        self._classifier = classifier
        self.count = 0

    def scores(self, frame: Frame, region: Region) -> Scores:
        self.count += 1
        return self._classifier.scores(frame, region)


@dataclass
class Cost:
    """CPU seconds of all threads, and how many frames were classified."""

    cpu_s: float = 0.0
    classified: int = 0


def _steady(
    spec: ModelSpec, region: Region, classifier: TfliteClassifier, encoding: str, size: tuple[int, int], gated: bool
) -> Cost:
    """What so many frames of a still scene cost after the learning."""
    counting, cost = Counting(classifier), Cost()

    def grabbed(count: int) -> None:
        if count == LEARNING_FRAMES:
            cost.cpu_s, cost.classified = -time.process_time(), -counting.count
        elif count == LEARNING_FRAMES + STILL_FRAMES:
            cost.cpu_s += time.process_time()
            cost.classified += counting.count

    camera = CaptureCamera(
        StillSource(encoding, size, LEARNING_FRAMES + STILL_FRAMES, FPS, on_grab=grabbed),
        SystemClock(),
        FPS,
        lockstep=True,
        least_scale=lambda *frame_px: least_scale([region], spec.input_size, frame_px, 0),
    )
    gate = (lambda decider: MotionGate([region], IDLE_FPS, decider.undecided)) if gated else None
    label = next(iter(spec.groups), spec.labels[0])
    silent_loop.run(camera, counting, region, label, SystemClock(), gate)
    return cost


def still(spec: ModelSpec, region: Region, classifier: TfliteClassifier) -> dict[str, Any]:
    """A still scene at 10 frames a second, through the real loop: CPU of all threads with the gate over without."""
    found = {}
    for encoding, size in {"yuyv": (640, 480), "jpeg": (640, 480)}.items():
        ratios, gated = [], []
        for _ in range(STILL_BLOCKS):
            on, off = (_steady(spec, region, classifier, encoding, size, gated) for gated in (True, False))
            classified_s = off.cpu_s / off.classified
            ratios.append(on.cpu_s / off.cpu_s)
            gated.append((on.cpu_s - on.classified * classified_s) / (STILL_FRAMES - on.classified) / classified_s)
        found[encoding] = {
            "ratio": quartiles(ratios),
            "gated": quartiles(gated),
            "classified": on.classified,
            "frames": STILL_FRAMES,
            "frame_ms": classified_s * 1e3,
        }
    return found


class Slow:
    """A classifier that is busy for a while and notes how old each frame is when it begins."""

    def __init__(self, busy_s: float) -> None:
        self.ages_s: list[float] = []
        self._busy_s = busy_s
        self._scores = np.zeros(1, np.float32)

    def scores(self, frame: Frame, region: Region) -> Scores:  # noqa: ARG002
        assert frame.pixels is not None
        self.ages_s.append(time.monotonic() - frame.t_s)
        time.sleep(self._busy_s)
        return self._scores


def ages(region: Region) -> dict[str, Any]:
    """How old a frame is when it is classified, camera at 30, classifier at 5 a second: as asked, or as it can."""
    found = {}
    for name, fps, busy_s in (("asked for", SLOW_FPS, 0.02), ("slow", CAMERA_FPS, 1.0 / SLOW_FPS)):
        frames = round(AGES * CAMERA_FPS / SLOW_FPS)
        camera = CaptureCamera(StillSource("jpeg", (640, 480), frames, CAMERA_FPS, paced=True), SystemClock(), fps)
        slow = Slow(busy_s)
        silent_loop.run(camera, slow, region, "cat", SystemClock())
        found[name] = {
            "ages_ms": quartiles([age_s * 1e3 for age_s in slow.ages_s]),
            "frames": len(slow.ages_s),
            "decoded_per_s": camera.decoded / (frames / CAMERA_FPS),
        }
    return found


def measure() -> dict[str, Any]:
    """All of it."""
    package, interpreter, spec = app.open_model(MODEL, 1)
    region = Region("full", FULL, spec.input.fit)
    label = next(iter(spec.groups), spec.labels[0])
    classifier = TfliteClassifier(interpreter, spec, (label,), Ring(600), package.scores_output)
    return {
        "encodings": encodings(spec, region),
        "still": still(spec, region, classifier),
        "ages": ages(region),
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The results, for people."""
    for encoding, one in found["encodings"].items():
        width_px, height_px = PICTURES[encoding]
        yield (
            f"{encoding} {width_px}x{height_px} to the tensor: {spread(one['ratio'])} of full decoding "
            f"({one['edged_ms']:.3f} and {one['usual_ms']:.3f} ms); at most {one['peak_bytes']} bytes allocated, "
            f"the decoded picture has {one['picture_bytes']}, what the camera delivers {one['shot_bytes']}"
        )
    for encoding, one in found["still"].items():
        yield (
            f"still scene, {encoding} 640x480, {FPS:g} fps, idle_fps {IDLE_FPS:g}: gate on over off "
            f"{spread(one['ratio'])}, a gated frame over a classified one {spread(one['gated'])}; "
            f"{one['classified']} of {one['frames']} classified, {one['frame_ms']:.2f} ms each"
        )
    for name, one in found["ages"].items():
        yield (
            f"camera at 30, classifier at 5 a second ({name}): {spread(one['ages_ms'], 1)} ms old, "
            f"{one['decoded_per_s']:.1f} pictures decoded a second, {one['frames']} frames"
        )


def main() -> None:
    """Prints what `measure` finds."""
    for line in lines(measure()):
        print(line)


if __name__ == "__main__":
    main()
