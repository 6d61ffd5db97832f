"""The interpreter: the only door to ai_edge_litert, or to tflite_runtime where that has no wheel.

Law: one thread uses an interpreter. A tensor's *function* is kept, its view lives for one statement: a view that is
held across `invoke()` is a RuntimeError of the runtime. The model file is memory-mapped: whoever writes into it in
place changes or kills a running daemon.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edged.core.detections import Detections, DetectionScorer
from edged.core.errors import ModelError
from edged.core.labels import Scorer
from edged.core.stats import Ring
from edged.core.types import Frame, ModelSpec, Quantization, Region, Scores, TensorSpec
from edged.edges.pixels import Preprocessor

try:
    import ai_edge_litert as runtime
    from ai_edge_litert.interpreter import Interpreter as _Interpreter

    RUNTIME = f"ai-edge-litert {runtime.__version__}"
except ImportError:
    import tflite_runtime as runtime
    from tflite_runtime.interpreter import Interpreter as _Interpreter

    RUNTIME = f"tflite-runtime {runtime.__version__}"

log = logging.getLogger("edged.tflite")

_spoken = threading.Event()


class Loaded(Protocol):
    """What a classifier needs of a model: `Interpreter`, or a cell in which it is tried."""

    @property
    def input_view(self) -> Callable[[], NDArray[Any]]:
        """The input tensor; what it returns is kept for one statement."""

    @property
    def output_views(self) -> Sequence[Callable[[], NDArray[Any]]]:
        """The output tensors, likewise."""

    @property
    def invoke(self) -> Callable[[], None]:
        """The network; RuntimeError where it fails."""


class Interpreter:
    """One loaded model.

    Args:
        model_path: a .tflite file; mapped, so it must be replaced by rename and never written in place.
        threads: for invoke(). The runtime wants it at construction; None there would mean one.

    Attributes:
        input, outputs: the tensors as the runtime reports them.
        xnnpack: whether the XNNPACK delegate took the graph. Without it a quantized model is about four times slower.

    Raises:
        ModelError: the runtime cannot load it.
    """

    def __init__(self, model_path: Path, threads: int) -> None:
        name = f"{model_path.parent.name}/{model_path.name}"
        try:
            with _stderr_to_log():
                self._interpreter = _Interpreter(model_path=str(model_path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"{name}: the runtime cannot load it ({reason}); is the file complete?") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or not outputs:
            raise ModelError(f"{name}: expected one input and an output, found {len(inputs)} and {len(outputs)}")
        self.input = _spec(inputs[0])
        self.outputs = tuple(_spec(output) for output in outputs)
        self.input_view = self._interpreter.tensor(inputs[0]["index"])
        self.output_views = tuple(self._interpreter.tensor(output["index"]) for output in outputs)
        self.invoke = self._interpreter.invoke
        # The runtime's only way to tell; a private name, so its absence must read as "not known to be active".
        details: list[Any] = getattr(self._interpreter, "_get_ops_details", list)()
        self.xnnpack = any(op["op_name"] == "DELEGATE" for op in details)

    def close(self) -> None:
        """Gives its memory back; nothing of it can be used afterwards."""
        del self._interpreter, self.input_view, self.output_views, self.invoke


class TfliteClassifier:
    """Scores of the wanted labels in a region of a frame.

    Args:
        interpreter: used by this object alone.
        spec: the model as it was fitted to the interpreter's tensors.
        wanted: labels and groups, in the order of the scores.
        invoke_ms: gets the wall time of each invoke().
        output: index of the output with the scores; of a detector: which output holds what.

    Attributes:
        read: the outputs as scores, as `scores` gives them.
        last_t_s: when the frame that was classified last was taken; None before the first.
    """

    def __init__(
        self,
        interpreter: Loaded,
        spec: ModelSpec,
        wanted: Sequence[str],
        invoke_ms: Ring,
        output: int | Detections = 0,
    ) -> None:
        self._preprocessor = Preprocessor(spec)
        self._input = interpreter.input_view
        self.read = _reader(interpreter.output_views, spec, wanted, output)
        self._invoke = interpreter.invoke
        self._invoke_ms = invoke_ms
        self.last_t_s: float | None = None

    def scores(self, frame: Frame, region: Region) -> Scores:
        """(wanted,) float32 in 0..1, borrowed until the next call."""
        self.prepare(frame, region)
        self.invoke()
        return self.read()

    def prepare(self, frame: Frame, region: Region) -> None:
        """The picture into the input tensor."""
        self.last_t_s = frame.t_s
        self._preprocessor.into(frame, region.box, region.fit, self._input())

    def invoke(self) -> None:
        """The network; other threads run meanwhile.

        Raises:
            ModelError: the runtime failed.
        """
        started_s = time.perf_counter()
        try:
            self._invoke()
        except RuntimeError as error:
            raise ModelError(f"the runtime failed in invoke() ({str(error).splitlines()[0]})") from error
        self._invoke_ms.add((time.perf_counter() - started_s) * 1e3)


def _reader(
    views: Sequence[Callable[[], Any]], spec: ModelSpec, wanted: Sequence[str], output: int | Detections
) -> Callable[[], Scores]:
    """What turns outputs into scores; the views live for one expression."""
    if isinstance(output, int):
        view, score = views[output], Scorer(spec, wanted).scores
        return lambda: score(view().reshape(-1))
    classes, boxes, count = views[output.classes], views[output.scores], views[output.count]
    detected = DetectionScorer(spec, wanted).scores
    return lambda: detected(boxes().reshape(-1), classes().reshape(-1), float(count().reshape(-1)[0]))


def median_invoke_ms(interpreter: Interpreter, invokes: int) -> float:
    """Median wall time of a few invokes, the first of which only warms up; the input is whatever lies in the tensor."""
    interpreter.invoke()
    times_ms = []
    for _ in range(invokes - 1):
        started_s = time.perf_counter()
        interpreter.invoke()
        times_ms.append((time.perf_counter() - started_s) * 1e3)
    return float(np.median(times_ms))


def _spec(details: Any) -> TensorSpec:
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"]).name
    quantization = None if dtype == "float32" or not scale else Quantization(float(scale), int(zero_point))
    return TensorSpec(tuple(int(side) for side in details["shape"]), dtype, quantization)


@contextlib.contextmanager
def _stderr_to_log() -> Iterator[None]:
    """Takes what the runtime prints while it loads a model into the log.

    It writes to file descriptor 2 itself; a person who reads the terminal would take its INFO lines for a fault. A
    pipe and no file: a full disk is no reason not to load a model. What does not fit into it is lost.

    A daemon that loads another model beside its loop goes on writing its journal, which must not go the same way: there
    nothing is taken. The runtime has said by then what it says once a process.
    """
    if _spoken.is_set() and threading.current_thread() is not threading.main_thread():
        yield
        return
    _spoken.set()
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    kept = os.dup(2)
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        with contextlib.suppress(BlockingIOError):
            for line in os.read(reader, 1 << 16).decode(errors="replace").splitlines():
                log.debug("runtime: %s", line)
        os.close(reader)
