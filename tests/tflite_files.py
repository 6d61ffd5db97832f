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
from flatbuffers import flexbuffers

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


ORDER = ("boxes", "classes", "scores", "count")
SHAPES = {"boxes": (1, 10, 4), "classes": (1, 10), "scores": (1, 10), "count": (1,)}
CELLS = 16


@dataclass
class Detector:
    """A detector of red, green and blue squares on a black ground, with the standard post-processing.

    Attributes:
        order: of the outputs.
        names: of the outputs' tensors.
        hidden: the operation is not what writes the outputs, so nothing but names tells which is which.
        signature: what the signature calls the outputs, by what they hold.
    """

    order: Sequence[str] = ORDER
    names: dict[str, str] = field(default_factory=dict)
    hidden: bool = False
    classes: int = 3
    signature: dict[str, str] = field(default_factory=dict)
    metadata: bytes = b""
    attached: dict[str, bytes] = field(default_factory=dict)

    def content(self) -> bytes:
        """The bytes of the file."""
        file = File()
        source = file.tensor((1, 32, 32, 3), "uint8", (1 / 255, 0), name="image")
        scores = self._scored(file, source)
        encodings = file.tensor((1, CELLS, 4), data=np.zeros((1, CELLS, 4), np.float32))
        grid = [((y + 0.5) / 4, (x + 0.5) / 4, 0.25, 0.25) for y in range(4) for x in range(4)]
        anchors = file.tensor((CELLS, 4), data=np.float32(grid))
        made = {key: file.tensor(SHAPES[key], name=self._name(key)) for key in ORDER}
        file.step(
            CUSTOM,
            [encodings, scores, anchors],
            [made[key] for key in ORDER],
            custom="TFLite_Detection_PostProcess",
            custom_options=_post_processing(self.classes),
        )
        if self.hidden:
            made = {key: _passed_on(file, made[key], SHAPES[key], self._name(key)) for key in ORDER}
        file.graph.inputs = [source]
        if self.signature:
            file.signature({self.signature[key]: made[key] for key in ORDER})
        if self.metadata:
            file.metadata(self.metadata)
        return attach(file.content([source], [made[key] for key in self.order]), self.attached)

    def _name(self, key: str) -> str:
        return self.names.get(key, "")

    def _scored(self, file: File, source: int) -> int:
        """A score a class, and a background first, for each of the cells."""
        s = file.s
        real, pooled, rows = file.tensor((1, 32, 32, 3)), file.tensor((1, 4, 4, 3)), file.tensor((1, CELLS, 3))
        file.step(DEQUANTIZE, [source], [real], s.DequantizeOptionsT())
        pool = s.Pool2DOptionsT()
        pool.strideW = pool.strideH = pool.filterWidth = pool.filterHeight = 8
        pool.padding = 1
        file.step(POOL, [real], [pooled], pool)
        _reshape(file, pooled, rows, (1, CELLS, 3))
        weights = np.zeros((self.classes + 1, 3), np.float32)
        weights[1:4] = WEIGHTS[:3] * 6
        values, scores = (file.tensor((1, CELLS, self.classes + 1)) for _ in range(2))
        connected = s.FullyConnectedOptionsT()
        connected.keepNumDims = True
        bias = np.full(self.classes + 1, -6, np.float32)
        constants = [file.tensor(one.shape, data=one) for one in (weights, bias)]
        file.step(FULLY_CONNECTED, [rows, *constants], [values], connected)
        file.step(LOGISTIC, [values], [scores])
        return scores


def score_of(color: Sequence[int], row: int) -> float:
    """What the detector gives a square of this colour that fills a cell, for one of its first three classes."""
    value = float(WEIGHTS[row] * 6 @ (np.asarray(color) / 255)) - 6
    return 1 / (1 + float(np.exp(-value)))


def _reshape(file: File, tensor: int, result: int, shape: tuple[int, ...]) -> None:
    options = file.s.ReshapeOptionsT()
    options.newShape = list(shape)
    file.step(RESHAPE, [tensor, file.tensor((len(shape),), "int32", data=np.int32(shape))], [result], options)


def _passed_on(file: File, tensor: int, shape: tuple[int, ...], name: str) -> int:
    result = file.tensor(shape, name=name)
    _reshape(file, tensor, result, shape)
    return result


def _post_processing(classes: int) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in (("max_detections", 10), ("max_classes_per_detection", 1), ("detections_per_class", 100)):
            builder.Int(name, value)
        builder.Int("num_classes", classes)
        builder.Bool("use_regular_nms", False)
        for name, amount in (("nms_score_threshold", 0.05), ("nms_iou_threshold", 0.5)):
            builder.Float(name, amount)
        for name, amount in (("y_scale", 10.0), ("x_scale", 10.0), ("h_scale", 5.0), ("w_scale", 5.0)):
            builder.Float(name, amount)
    return bytes(builder.Finish())


def attach(content: bytes, files: dict[str, bytes]) -> bytes:
    """A zip at the end, as TFLite metadata has its files."""
    if not files:
        return content
    made = BytesIO(content)
    with zipfile.ZipFile(made, "a") as archive:
        for name, inner in files.items():
            archive.writestr(name, inner)
    return made.getvalue()


class Flat:
    """A flatbuffer of tables, by the numbers of their fields."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(256)

    def text(self, text: str) -> int:
        return int(self.builder.CreateString(text))

    def table(self, *slots: tuple[int, int], **numbers: int) -> int:
        """Fields with an offset, and small numbers as `_0=1`."""
        fields = [int(name[1:]) for name in numbers]
        self.builder.StartObject(1 + max((slot for slot in (*fields, *(slot for slot, _ in slots))), default=0))
        for slot, offset in slots:
            self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in zip(fields, numbers.values(), strict=True):
            self.builder.PrependUint8Slot(slot, number, 0)
        return int(self.builder.EndObject())

    def tables(self, *items: int) -> int:
        self.builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            self.builder.PrependUOffsetTRelative(item)
        return int(self.builder.EndVector())

    def floats(self, values: Sequence[float]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependFloat32(value)
        return int(self.builder.EndVector())


def metadata(
    mean: Sequence[float] = (), std: Sequence[float] = (), labels: str = "", color: int = 0, licence: str = "",
    outputs: Sequence[str] = ("probability",), labelled: int = 0,
) -> bytes:  # fmt: skip
    """A TFLITE_METADATA buffer; `labels` is the file with those of output `labelled`."""
    flat = Flat()
    given: list[tuple[int, int]] = [(0, flat.text("image"))]
    if color:
        given.append((3, flat.table((1, flat.table(_0=color)), _0=2)))
    if mean:
        options = flat.table((0, flat.floats(mean)), (1, flat.floats(std)))
        given.append((4, flat.tables(flat.table((1, options), _0=1))))
    source, ends = flat.table(*given), []
    for index, name in enumerate(outputs):
        end: list[tuple[int, int]] = [(0, flat.text(name))]
        if labels and index == labelled:
            end.append((6, flat.tables(flat.table((0, flat.text(labels)), _2=2))))
        ends.append(flat.table(*end))
    graph = flat.table((2, flat.tables(source)), (3, flat.tables(*ends)))
    told = [(5, flat.text(licence))] if licence else []
    root = flat.table((0, flat.text("made by a test")), (3, flat.tables(graph)), *told)
    flat.builder.Finish(root, b"M001")
    return bytes(flat.builder.Output())


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    """A zip of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
