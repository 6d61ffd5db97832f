"""TFLite metadata, written by the numbers of its fields."""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers


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
