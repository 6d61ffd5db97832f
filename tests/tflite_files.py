"""Tiny `.tflite` files, written with the runtime's own schema: what people bring, without a network to train.

The classifier takes the mean colour of its picture, and one row of `WEIGHTS` a class. What it must give for a picture
of one colour is a line of arithmetic, so that a test knows whether pixels and outputs were understood.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest

WEIGHTS = np.array([[2.0, -1.0, -1.0], [-1.0, 2.0, -1.0], [-1.0, -1.0, 2.0], [0.5, 0.5, 0.5]], np.float32)
BIAS = np.array([0.1, 0.2, -0.3, -0.6], np.float32)
SIDE = 8
TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int16": 7, "int8": 9}
ADD, POOL, DEQUANTIZE, FULLY_CONNECTED, LOGISTIC, MUL, RESHAPE, SOFTMAX, CUSTOM, MEAN, QUANTIZE = (
    *(0, 1, 6, 9, 14, 18, 22, 25, 32, 40),
    114,
)


def schema() -> Any:
    """The runtime's generated schema; tflite-runtime has none."""
    return pytest.importorskip(
        "ai_edge_litert.schema_py_generated", reason="this runtime brings no schema to write with"
    )


class File:
    """One model being written."""

    def __init__(self) -> None:
        self.s = schema()
        self.model = self.s.ModelT()
        self.model.version, self.model.description = 3, "made by a test"
        self.model.buffers, self.model.operatorCodes, self.model.metadata = [self.s.BufferT()], [], []
        self.graph = self.s.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self, shape: Sequence[int], dtype: str = "float32", quantization: tuple[float, int] | None = None,
        data: np.ndarray | None = None, name: str = "",
    ) -> int:  # fmt: skip
        made = self.s.TensorT()
        made.shape, made.type, made.name = list(shape), TYPES[dtype], name or f"t{len(self.graph.tensors)}"
        made.buffer = 0
        if data is not None:
            made.buffer = self.buffer(np.ascontiguousarray(data).tobytes())
        if quantization is not None:
            made.quantization = self.s.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [quantization[0]], [quantization[1]]
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def buffer(self, content: bytes) -> int:
        made = self.s.BufferT()
        made.data = list(content)
        self.model.buffers.append(made)
        return len(self.model.buffers) - 1

    def step(
        self, code: int, sources: Sequence[int], results: Sequence[int], options: Any = None, custom: str = "",
        custom_options: bytes = b"",
    ) -> None:  # fmt: skip
        kind, step = self.s.OperatorCodeT(), self.s.OperatorT()
        kind.deprecatedBuiltinCode, kind.builtinCode, kind.customCode = min(code, 127), code, custom or None
        kind.version = 1
        self.model.operatorCodes.append(kind)
        step.opcodeIndex, step.inputs, step.outputs = len(self.model.operatorCodes) - 1, list(sources), list(results)
        if options is not None:
            step.builtinOptions = options
            step.builtinOptionsType = getattr(self.s.BuiltinOptions, type(options).__name__.removesuffix("T"))
        if custom_options:
            step.customOptions = list(custom_options)
        self.graph.operators.append(step)

    def metadata(self, content: bytes) -> None:
        entry = self.s.MetadataT()
        entry.name, entry.buffer = "TFLITE_METADATA", self.buffer(content)
        self.model.metadata.append(entry)

    def signature(self, names: dict[str, int]) -> None:
        made = self.s.SignatureDefT()
        made.signatureKey, made.subgraphIndex, made.inputs, made.outputs = "serving_default", 0, [], []
        for into, pairs in ((made.inputs, {"image": self.graph.inputs[0]}), (made.outputs, names)):
            for name, index in pairs.items():
                one = self.s.TensorMapT()
                one.name, one.tensorIndex = name, index
                into.append(one)
        self.model.signatureDefs = [made]

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


@dataclass
class Classifier:
    """What a classifier shall be like.

    Attributes:
        ending: "softmax", "sigmoid" or "logits".
        second: gives the mean colour as another output, before or behind the scores.
        scaled: begins with a MUL, as a network that scales pixels itself.
        inside: quantizes its float input at once, as networks with an int8 middle do.
        custom: an operation that is none of TensorFlow Lite's own stands in front of the end.
    """

    dtype: str = "uint8"
    quantization: tuple[float, int] | None = (1 / 128, 128)
    channels: int = 3
    classes: int = 4
    ending: str = "softmax"
    output_dtype: str = "float32"
    output_quantization: tuple[float, int] | None = None
    second: str = ""
    scaled: float | None = None
    inside: tuple[float, int] | None = None
    custom: str = ""
    shape: tuple[int, ...] | None = None
    metadata: bytes = b""
    attached: dict[str, bytes] = field(default_factory=dict)

    def content(self) -> bytes:
        """The bytes of the file."""
        file = File()
        s = file.s
        shape = self.shape or (1, SIDE, SIDE, self.channels)
        source = file.tensor(shape, self.dtype, self.quantization, name="serving_default_x:0")
        real = source
        if self.dtype != "float32":
            real = file.tensor(shape)
            file.step(DEQUANTIZE, [source], [real], s.DequantizeOptionsT())
        if self.inside is not None:
            quantized, real = file.tensor(shape, "int8", self.inside), file.tensor(shape)
            file.step(QUANTIZE, [source], [quantized], s.QuantizeOptionsT())
            file.step(DEQUANTIZE, [quantized], [real], s.DequantizeOptionsT())
        if self.scaled is not None:
            factor, scaled = file.tensor((1,), data=np.float32([self.scaled])), file.tensor(shape)
            file.step(MUL, [real, factor], [scaled], s.MulOptionsT())
            real = scaled
        if self.custom:
            changed = file.tensor(shape)
            file.step(CUSTOM, [real], [changed], custom=self.custom)
            real = changed
        axes, mean = file.tensor((2,), "int32", data=np.int32([1, 2])), file.tensor((1, self.channels))
        reducer = s.ReducerOptionsT()
        reducer.keepDims = False
        file.step(MEAN, [real, axes], [mean], reducer)
        constants = [file.tensor(one.shape, data=one) for one in (self.weights(), self.bias())]
        values = file.tensor((1, self.classes))
        file.step(FULLY_CONNECTED, [mean, *constants], [values], s.FullyConnectedOptionsT())
        scores = self._ended(file, values)
        if self.metadata:
            file.metadata(self.metadata)
        outputs = {"": [scores], "behind": [scores, mean], "before": [mean, scores]}[self.second]
        return attach(file.content([source], outputs), self.attached)

    def _ended(self, file: File, values: int) -> int:
        if self.ending != "logits":
            ended = file.tensor((1, self.classes))
            softmax = file.s.SoftmaxOptionsT()
            softmax.beta = 1.0
            is_softmax = self.ending == "softmax"
            file.step(SOFTMAX if is_softmax else LOGISTIC, [values], [ended], softmax if is_softmax else None)
            values = ended
        if self.output_dtype != "float32":
            quantized = file.tensor((1, self.classes), self.output_dtype, self.output_quantization, name="scores")
            file.step(QUANTIZE, [values], [quantized], file.s.QuantizeOptionsT())
            values = quantized
        return values

    def weights(self) -> np.ndarray:
        """(classes, channels); classes beyond the toy's own have nothing."""
        rows = np.zeros((max(self.classes, 4), 3), np.float32)
        rows[:4] = WEIGHTS
        return np.ascontiguousarray(rows[: self.classes, : self.channels])

    def bias(self) -> np.ndarray:
        """(classes,)."""
        return np.concatenate([BIAS, np.full(self.classes, -9, np.float32)])[: self.classes]

    def expected(self, real: Any) -> np.ndarray:
        """The scores of a picture whose every pixel has these real values, before any quantization of the output."""
        values = self.weights() @ np.asarray(real, np.float64) + self.bias()
        if self.ending == "sigmoid" or self.classes == 1:
            return np.asarray(1 / (1 + np.exp(-values)))
        exponentials = np.exp(values - values.max())
        return np.asarray(exponentials / exponentials.sum())


def attach(content: bytes, files: dict[str, bytes]) -> bytes:
    """A zip at the end, as TFLite metadata has its files."""
    if not files:
        return content
    made = BytesIO(content)
    with zipfile.ZipFile(made, "a") as archive:
        for name, inner in files.items():
            archive.writestr(name, inner)
    return made.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    """A zip of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
