"""What a `.tflite` says of itself without being run: its tensors, and which operations begin and end it.

Field numbers are those of TensorFlow Lite's `schema.fbs` (version 3), which only ever adds to them.

Law: bytes in, plain values out; the runtime has the last word on whether the file can be used.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from edged.adoption.flatbuffer import Damaged, Table
from edged.core.errors import ModelError
from edged.core.types import Quantization, TensorSpec

DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    5: "string",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
}
OPERATIONS = {
    0: "ADD",
    6: "DEQUANTIZE",
    14: "LOGISTIC",
    18: "MUL",
    22: "RESHAPE",
    25: "SOFTMAX",
    32: "CUSTOM",
    39: "TRANSPOSE",
    41: "SUB",
    42: "DIV",
    43: "SQUEEZE",
    47: "EXP",
    50: "LOG_SOFTMAX",
    53: "CAST",
    70: "EXPAND_DIMS",
    83: "PACK",
    114: "QUANTIZE",
}
SHAPING = frozenset({"DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "CAST", "TRANSPOSE", "PACK"})
"""What changes a tensor's shape or type and not what it says."""
MAX_ENDS, MAX_SHAPING = 64, 16
ARITHMETIC = frozenset({"ADD", "SUB", "MUL", "DIV"})
POST_PROCESS = "TFLite_Detection_PostProcess"


@dataclass(frozen=True)
class Tensor:
    """A tensor, by its name in the file."""

    name: str
    spec: TensorSpec


@dataclass(frozen=True)
class Graph:
    """A model as far as its file tells.

    Attributes:
        beginning: the first operation that does something with the input, "" where there is none.
        quantized: what that operation gives, where it quantizes.
        constant: the first of the numbers that it adds, takes away, multiplies or divides by; None where it is another.
        endings: for each output the operation that says what its values are.
        signature: index of the output for each name that the file gives them.
        detections: indices of boxes, classes, scores and count as the operation for detectors writes them.
        columns: how many columns that operation is given, which are the classes, mostly with a background before them.
        custom: operations that are none of TensorFlow Lite's own.
        metadata: the bytes of TFLITE_METADATA; none where there are none.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    beginning: str
    quantized: TensorSpec | None
    constant: float | None
    endings: tuple[str, ...]
    signature: dict[str, int]
    detections: tuple[int, ...] | None
    columns: int | None
    custom: tuple[str, ...]
    metadata: bytes

    @classmethod
    def read(cls, data: memoryview, place: str) -> Graph:
        """Reads a model.

        Args:
            place: what a person calls the file.

        Raises:
            ModelError: it is damaged.
        """
        try:
            return _Reader(Table.root(data)).graph()
        except Damaged as error:
            raise ModelError(f"{place}: is damaged ({error}); fetch or export it again") from None


class _Reader:
    """The first subgraph of a model, which is the one that the runtime runs."""

    def __init__(self, model: Table) -> None:
        self._model = model
        subgraphs = model.tables(2)
        if not subgraphs:
            raise Damaged("it has no graph")
        self._names = [_operation(code) for code in model.tables(1)]
        tensors = subgraphs[0].tables(0)
        self._tensors, self._places = [_tensor(one) for one in tensors], [one.number(2, "I") for one in tensors]
        self._inputs, self._outputs = subgraphs[0].numbers(1, "i"), subgraphs[0].numbers(2, "i")
        self._steps: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
        for step in subgraphs[0].tables(3):
            code = step.number(0, "I")
            if code >= len(self._names):
                raise Damaged("an operation of it has no name")
            self._steps.append((self._names[code], step.numbers(1, "i"), step.numbers(2, "i")))
        self._makers = {result: (name, sources) for name, sources, results in self._steps for result in results}
        if len(self._inputs) > MAX_ENDS or len(self._outputs) > MAX_ENDS:
            raise Damaged(f"it has more than {MAX_ENDS} inputs or outputs")
        for index in (*self._inputs, *self._outputs):
            if not 0 <= index < len(self._tensors):
                raise Damaged("an input or output of it is no tensor")

    def graph(self) -> Graph:
        """What the model says of itself.

        Raises:
            Damaged: it points to what is not there.
        """
        beginning, quantized, constant = self._beginning()
        detections, columns = self._detections()
        return Graph(
            inputs=tuple(self._tensors[index] for index in self._inputs),
            outputs=tuple(self._tensors[index] for index in self._outputs),
            beginning=beginning,
            quantized=quantized,
            constant=constant,
            endings=tuple(self._ending(index) for index in self._outputs),
            signature=self._signature(),
            detections=detections,
            columns=columns,
            custom=self._custom(),
            metadata=self._metadata(),
        )

    def _custom(self) -> tuple[str, ...]:
        known = {*OPERATIONS.values(), POST_PROCESS}
        used = dict.fromkeys(name for name, *_ in self._steps)
        return tuple(name for name in used if name not in known and not name.startswith("#"))

    def _beginning(self) -> tuple[str, TensorSpec | None, float | None]:
        reached = set(self._inputs[:1])
        for name, sources, results in self._steps:
            if not reached & set(sources):
                continue
            if name == "QUANTIZE" and results and 0 <= results[0] < len(self._tensors):
                return name, self._tensors[results[0]].spec, None
            if name not in SHAPING:
                constants = [self._constant(index) for index in sources if index not in reached]
                return name, None, constants[0] if name in ARITHMETIC and constants else None
            reached |= set(results)
        return "", None, None

    def _constant(self, index: int) -> float | None:
        if not 0 <= index < len(self._places) or self._tensors[index].spec.dtype != "float32":
            return None
        buffers, place = self._model.tables(4), self._places[index]
        data = buffers[place].bytes(0) if place < len(buffers) else b""
        return float(struct.unpack_from("<f", data)[0]) if len(data) >= 4 else None

    def _ending(self, output: int) -> str:
        makers = self._makers
        name, sources = makers.get(output, ("", ()))
        for _ in range(MAX_SHAPING):
            if name not in SHAPING or not sources:
                break
            name, sources = makers.get(sources[0], ("", ()))
        if name == "DIV" and makers.get(sources[0] if sources else -1, ("", ()))[0] == "EXP":
            return "SOFTMAX"  # written out, as some converters do
        return name

    def _signature(self) -> dict[str, int]:
        for signature in self._model.tables(7)[:1]:
            named = {one.text(0): one.number(1, "I") for one in signature.tables(1)}
            return {name: self._outputs.index(index) for name, index in named.items() if index in self._outputs}
        return {}

    def _detections(self) -> tuple[tuple[int, ...] | None, int | None]:
        for name, sources, results in self._steps:
            if name == POST_PROCESS and len(results) == 4 and len(sources) >= 2:
                known = set(results) <= set(self._outputs)
                order = tuple(self._outputs.index(result) for result in results) if known else None
                shape = self._tensors[sources[1]].spec.shape if 0 <= sources[1] < len(self._tensors) else ()
                return order, shape[-1] if shape else None
        return None, None

    def _metadata(self) -> bytes:
        buffers = self._model.tables(4)
        for one in self._model.tables(6):
            index = one.number(1, "I")
            if one.text(0) == "TFLITE_METADATA" and index < len(buffers):
                return bytes(buffers[index].bytes(0))
        return b""


def _operation(code: Table) -> str:
    number = max(code.number(0, "b"), code.number(3, "i"))
    if number == 32:
        return code.text(1) or "CUSTOM"
    return OPERATIONS.get(number, f"#{number}")


def _tensor(table: Table) -> Tensor:
    told = table.table(4)
    scales, zeros = (told.numbers(2, "f"), told.numbers(3, "q")) if told is not None else ((), ())
    dtype = DTYPES.get(table.number(1, "b"), "another type")
    # As the runtime reports it: of a whole tensor, and none for a float.
    quantization = Quantization(float(scales[0]), int(zeros[0])) if len(scales) == len(zeros) == 1 else None
    if quantization is not None and (dtype == "float32" or not 0.0 < quantization.scale < math.inf):
        quantization = None
    shape = tuple(int(side) for side in table.numbers(0, "i"))
    return Tensor(table.text(3), TensorSpec(shape, dtype, quantization))
