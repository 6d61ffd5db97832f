"""TFLite metadata: what whoever made a model wrote into it, by the numbers of `metadata_schema.fbs` (M001).

Law: bytes in, plain values out. Metadata that cannot be read says nothing; it never keeps a model from being used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edged.adoption.flatbuffer import Damaged, Table
from edged.core.types import Color

AXIS_LABELS, VALUE_LABELS = 2, 3
IMAGE, NORMALIZATION = 2, 1
COLORS: dict[int, Color] = {1: "rgb", 2: "grey"}


@dataclass(frozen=True)
class Metadata:
    """What is told; nothing where nothing is.

    Attributes:
        mean, std: of a float input, by channel or one for all: real value = (pixel - mean) / std.
        outputs: names of the outputs in their order.
        label_files: names of the files with labels, by the index of their output; they lie in a zip at the file's end.
    """

    name: str = ""
    version: str = ""
    author: str = ""
    licence: str = ""
    color: Color | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: tuple[str, ...] = ()
    label_files: tuple[tuple[int, str], ...] = ()

    @classmethod
    def read(cls, data: bytes) -> Metadata:
        """Reads the buffer TFLITE_METADATA of a model; none is an empty one."""
        if data[4:8] != b"M001":
            return cls()
        try:
            return _read(Table.root(memoryview(data)))
        except Damaged:
            return cls()


def _read(model: Table) -> Metadata:
    color: Color | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: list[str] = []
    labels: list[tuple[int, str]] = []
    for graph in model.tables(3)[:1]:
        for tensor in graph.tables(2)[:1]:
            color = _color(tensor)
            mean, std = _normalization([*tensor.tables(4), *graph.tables(5)])
        for index, tensor in enumerate(graph.tables(3)):
            outputs.append(tensor.text(0))
            labels += [(index, name) for name in _label_files(tensor)]
    return Metadata(
        name=_line(model.text(0)),
        version=_line(model.text(2)),
        author=_line(model.text(4)),
        licence=_line(model.text(5)),
        color=color,
        mean=mean,
        std=std,
        outputs=tuple(outputs),
        label_files=tuple(labels),
    )


def _color(tensor: Table) -> Color | None:
    content = tensor.table(3)
    properties = content.table(1) if content is not None and content.number(0, "B") == IMAGE else None
    return COLORS.get(properties.number(0, "b")) if properties is not None else None


def _normalization(units: list[Table]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for unit in units:
        options = unit.table(1) if unit.number(0, "B") == NORMALIZATION else None
        if options is not None:
            mean, std = options.numbers(0, "f"), options.numbers(1, "f")
            if mean and std and min(std) > 0 and all(map(math.isfinite, (*mean, *std))):
                return tuple(map(float, mean)), tuple(map(float, std))
    return (), ()


def _label_files(tensor: Table) -> list[str]:
    """Those in the language of nowhere first: a file may have its labels in several."""
    files = [one for one in tensor.tables(6) if one.number(2, "b") in (AXIS_LABELS, VALUE_LABELS)]
    return [one.text(0) for one in sorted(files, key=lambda one: bool(one.text(3)))]


def _line(text: str) -> str:
    """The first line with something in it, as far as it fits into a manifest."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "".join(letter for letter in next(filter(None, lines), "") if letter.isprintable())[:200]
