"""A model that was never loaded here, loaded and run in a process of its own (`tflite_inmate`) instead of this one.

That process can open neither file nor socket, has a bound of memory and of time, and may crash or hang as it likes:
whatever it does becomes one sentence here.

Law: nothing that comes from it is believed but what was checked. Neither the bytes of the model nor those of a picture
that came with it are parsed in this process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from edged.core.errors import ModelError
from edged.core.types import Pixels, Quantization, TensorSpec
from edged.edges.tflite_inmate import PICTURE, TENSOR
from edged.edges.tflite_process import AGAIN, START, Bounds, CellProcess

MAX_TOLD_BYTES = 1 << 16
MAX_TENSOR_BYTES = 1 << 25
"""Of the input and all outputs, and of a picture: one of 3840 x 2160 fits."""
MAX_SIDES = 8
KINDS = frozenset({"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"})
KINDS |= {"float16", "float32", "float64"}


class Cell:
    """A model in a process of its own, with the face of `tflite.Interpreter`. A context manager: the end ends it.

    Args:
        model_path: the file.
        sha256: that its bytes must have.
        known: a model that is certain to load, on which the runtime warms up.
        bounds: what it may take.
        known_picture: one that is certain to be decoded, where `picture` will be called.
        start: what Python runs there; a test has an inmate of its own.

    Attributes:
        input, outputs: the tensors as the runtime there reports them.
        output_views: functions that return the output tensors of the last `invoke`.
        xnnpack: whether the XNNPACK delegate took the graph.
        times_ms: wall time of each invoke there.

    Raises:
        ModelError: it cannot be loaded, or did harm there; one sentence.
        RunError: it could not be tried, which says nothing about the model.
    """

    def __init__(
        self,
        model_path: Path,
        sha256: str,
        known: Path,
        bounds: Bounds,
        known_picture: Path | None = None,
        start: str = START,
    ) -> None:
        self._process = CellProcess(model_path, sha256, known, known_picture, bounds, start)
        self._name = self._process.name
        self.times_ms: list[float] = []
        try:
            self._read_tensors(self._hear())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        self._process.close()

    def input_view(self) -> NDArray[Any]:
        """The input tensor, as it will be sent."""
        return self._input

    def invoke(self) -> None:
        """The network, once.

        Raises:
            ModelError: it fails, or did harm there.
            RunError: it could not be tried.
        """
        self._process.send(TENSOR + self._input.tobytes())
        ms = self._hear().get("ms")
        if not isinstance(ms, float) or not 0 <= ms < math.inf:
            self._process.refuse_answer()
        for array in self._outputs:
            data = self._process.hear(MAX_TENSOR_BYTES)
            if len(data) != array.nbytes:
                raise ModelError(f"{self._name}: an output changes its size while it runs; export it with fixed sizes")
            array[...] = np.frombuffer(data, array.dtype).reshape(array.shape)
        self.times_ms.append(ms)

    def picture(self, path: Path) -> Pixels:
        """One picture, decoded there: (height, width, 3) uint8 BGR.

        Raises:
            ModelError: it cannot be read or decoded.
            RunError: it could not be tried.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_TENSOR_BYTES)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
        self._process.send(PICTURE + data)
        told = self._hear(str(path))
        height, width = told.get("height"), told.get("width")
        if type(height) is not int or type(width) is not int or min(height, width) < 1:
            self._process.refuse_answer()
        if height * width * 3 > MAX_TENSOR_BYTES:
            raise ModelError(f"{path}: has {width}x{height} pixels; give it the size of the model's input")
        data = self._process.hear(height * width * 3)
        if len(data) != height * width * 3:
            self._process.refuse_answer()
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def _read_tensors(self, told: dict[str, Any]) -> None:
        inputs, outputs = told.get("inputs"), told.get("outputs")
        if not isinstance(inputs, list) or not isinstance(outputs, list):
            self._process.refuse_answer()
        if len(inputs) != 1 or not outputs:
            raise ModelError(f"{self._name}: expected one input and an output, found {len(inputs)} and {len(outputs)}")
        self.input, *rest = (self._tensor(one) for one in (*inputs, *outputs))
        self.outputs = tuple(rest)
        self.xnnpack = told.get("xnnpack") is True
        size_bytes = sum(math.prod(one.shape) * np.dtype(one.dtype).itemsize for one in (self.input, *rest))
        if size_bytes > MAX_TENSOR_BYTES:
            raise ModelError(
                f"{self._name}: its input and outputs have {size_bytes / 1e6:.0f} MB, and edged takes up to "
                f"{MAX_TENSOR_BYTES / 1e6:.0f} MB; take a model for smaller pictures"
            )
        self._input = np.zeros(self.input.shape, self.input.dtype)
        self._outputs = [np.zeros(one.shape, one.dtype) for one in rest]
        self.output_views: tuple[Callable[[], NDArray[Any]], ...] = tuple(
            partial(np.asarray, array) for array in self._outputs
        )

    def _tensor(self, told: object) -> TensorSpec:
        match told:
            case {"shape": [*shape], "dtype": str(dtype), "scale": float(scale), "zero_point": int(zero_point)}:
                pass
            case _:
                self._process.refuse_answer()
        if dtype not in KINDS:
            raise ModelError(f"{self._name}: expected tensors of numbers, found one of {dtype[:20]!r}; export it anew")
        if len(shape) > MAX_SIDES or not all(type(side) is int and side >= 0 for side in shape):
            raise ModelError(
                f"{self._name}: expected tensors of fixed sizes, found one of {len(shape)}; export it anew"
            )
        quantization = None if dtype == "float32" or not scale else Quantization(scale, zero_point)
        return TensorSpec(tuple(shape), dtype, quantization)

    def _hear(self, of: str = "") -> dict[str, Any]:
        """The next thing that it says, which is no trouble.

        Args:
            of: the picture that it was asked for.
        """
        try:
            told = json.loads(self._process.hear(MAX_TOLD_BYTES))
        except (ValueError, RecursionError):
            self._process.refuse_answer()
        if not isinstance(told, dict):
            self._process.refuse_answer()
        if "trouble" in told:
            self._refuse(told["trouble"], str(told.get("reason")), of)
        return told

    def _refuse(self, trouble: object, reason: str, of: str) -> NoReturn:
        plain = "".join(one for one in reason.split("\n")[0][:200] if one.isprintable())
        match trouble:
            case "load":
                raise ModelError(f"{self._name}: the runtime cannot load it ({plain}); is the file complete?")
            case "run":
                raise ModelError(f"{self._name}: the runtime cannot run it ({plain}); {AGAIN}")
            case "picture":
                raise ModelError(f"{of}: {plain}")
            case "memory":
                raise ModelError(f"{self._name}: it wants more memory, {self._process.bounds.too_much}")
            case "changed":
                raise ModelError(f"{self._name}: was changed while it was read; {AGAIN}")
            case "limits":
                raise ModelError(
                    f"{self._name}: a model that was never loaded here is tried in a process with limits, and this "
                    f"system does not give it them ({plain}); run edged where it may set them"
                )
        self._process.refuse_answer()
