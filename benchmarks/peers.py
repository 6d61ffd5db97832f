"""edged beside other ways to classify a frame: CPU time of all threads over bare invoke() of the same model, and RSS.

    python -m benchmarks.peers [--mobilenet FILE] [--mediapipe-python PATH] [--rounds 100]

Each contestant is a worker process (`benchmarks.contestants`) with one inference thread where it lets us choose. In
each round every worker does one block of frames, in an order that is drawn anew; a ratio compares blocks of one round.
The default model is always measured; MobileNetV2 (mobilenet_v2_1.0_224_quant.tflite, not part of the project), which
MediaPipe can load, where its path is given.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.figures import memory, quartiles, spread
from benchmarks.mediapipe_environment import MediapipeMissing, mediapipe_python
from edged.edges.tflite import RUNTIME
from edged.modelstore import bundled

ROOT = Path(__file__).parent.parent
DEFAULT = bundled() / "efficientnet-lite0-int8" / "model.tflite"
ROUNDS = 100
BLOCK = 8
SHORT_BLOCK = 2
BARE = "bare"
OURS = ("edged-loop", "edged-classifier", "usual", "fresh")
MEDIAPIPE = "mediapipe"
VERSION = "import importlib.metadata; print(importlib.metadata.version('mediapipe'))"


class WorkerFailed(Exception):
    """A contestant said why it cannot."""


class Worker:
    """One contestant with one model, ready for blocks.

    Raises:
        WorkerFailed: it could not load the model, or ended.
    """

    def __init__(self, name: str, model: Path, python: str = sys.executable) -> None:
        self.name = name
        self._block = SHORT_BLOCK if name == "fresh" else BLOCK
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.contestants", name, str(model)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        try:
            self._answer()
        except WorkerFailed:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def cpu_ms(self) -> float:
        """CPU milliseconds a frame of the next block."""
        assert self._process.stdin is not None
        print(self._block, file=self._process.stdin, flush=True)
        return float(self._answer()["cpu_ms"])

    def memory(self) -> dict[str, float]:
        """Resident memory, as `figures.memory`."""
        return memory(self._process.pid)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended without a word"}
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer


def compare(model: Path, names: tuple[str, ...], pythons: dict[str, str], rounds: int) -> dict[str, Any]:
    """What every contestant took with one model; one that cannot has only an `error`."""
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        workers = []
        for name in (BARE, *names):
            try:
                workers.append(stack.enter_context(Worker(name, model, pythons.get(name, sys.executable))))
            except WorkerFailed as error:
                found[name] = {"error": str(error)}
        if BARE in found:
            raise WorkerFailed(f"bare invoke() of {model.name}: {found[BARE]['error']}")
        taken_ms: dict[str, list[float]] = {worker.name: [] for worker in workers}
        order = random.Random(0)
        for _ in range(rounds):
            for worker in order.sample(workers, len(workers)):
                taken_ms[worker.name].append(worker.cpu_ms())
        used = {worker.name: worker.memory() for worker in workers}
    for name, cpu_ms in taken_ms.items():
        ratios = [one / bare for one, bare in zip(cpu_ms, taken_ms[BARE], strict=True)]
        found[name] = {"cpu_ms": statistics.median(cpu_ms), "ratio": quartiles(ratios), **used[name]}
    return found


def measure(mobilenet: Path | None = None, python: str | None = None, rounds: int = ROUNDS) -> dict[str, Any]:
    """Both comparisons, and why MediaPipe is in one of them only."""
    found: dict[str, Any] = {"rounds": rounds, "runtime": RUNTIME, "default": compare(DEFAULT, OURS, {}, rounds)}
    if mobilenet is None:
        return found
    names: tuple[str, ...] = OURS
    try:
        pythons = {MEDIAPIPE: python or mediapipe_python()}
        names = (*OURS, MEDIAPIPE)
    except MediapipeMissing as error:
        found["mediapipe_missing"] = str(error)
        pythons = {}
    if pythons:
        found["mediapipe"] = subprocess.check_output([pythons[MEDIAPIPE], "-c", VERSION], text=True).strip()
        try:
            with Worker(MEDIAPIPE, DEFAULT, pythons[MEDIAPIPE]):
                found["mediapipe_default"] = None
        except WorkerFailed as error:
            found["mediapipe_default"] = str(error)
    found["mobilenet"] = compare(mobilenet, names, pythons, rounds)
    return found


def main() -> None:
    """Prints what `measure` finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mobilenet", type=Path, metavar="FILE")
    parser.add_argument("--mediapipe-python", metavar="PATH", help="an interpreter that has mediapipe")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    found = measure(args.mobilenet and args.mobilenet.resolve(), args.mediapipe_python, args.rounds)
    for model in ("default", "mobilenet"):
        for name, one in found.get(model, {}).items():
            if "error" in one:
                print(f"{model:<10} {name:<17} cannot: {one['error']}")
            else:
                print(
                    f"{model:<10} {name:<17} {one['cpu_ms']:7.2f} ms, {spread(one['ratio'])} times bare invoke(), "
                    f"{one['rss_mb']:.0f} MB RSS, {one['anonymous_mb']:.0f} MB of it anonymous"
                )
    for key in ("mediapipe_default", "mediapipe_missing"):
        if found.get(key):
            print(f"{key}: {found[key]}")


if __name__ == "__main__":
    main()
