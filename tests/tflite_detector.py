"""A tiny detector with the standard post-processing of TensorFlow Lite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from flatbuffers import flexbuffers

from tests.tflite_files import CUSTOM, DEQUANTIZE, FULLY_CONNECTED, LOGISTIC, POOL, RESHAPE, WEIGHTS, File, attach

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
