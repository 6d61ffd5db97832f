"""Reading a flatbuffer by the numbers of its fields, with every step inside its bounds.

A table stands at an offset and begins with the (signed, backward) distance to its vtable; that has its own size, the
table's size, and for each field how far it is from the table's beginning, 0 for a field that is left out; a vector has
its length first (flatbuffers.dev, "FlatBuffer Internals").

Law: bytes in, plain values out. Nothing is believed: an offset that leads out is `Damaged`, and so is a file that has
its reader go on for ever.
"""

from __future__ import annotations

import struct
from typing import Any

MAX_STEPS = 1 << 21
"""Values that are read of one file; the largest classifier that is known has a hundredth of that."""


class Damaged(ValueError):
    """The bytes are no flatbuffer of this kind."""


class Table:
    """One table.

    Args:
        data: all of the file.
        at: where the table stands.
        steps: how many values may still be read, shared by all tables of a file.
    """

    def __init__(self, data: memoryview, at: int, steps: list[int]) -> None:
        self._data, self._at, self._steps = data, at, steps
        self._fields_at = at - self._value("i", at)
        self._fields_bytes = int(self._value("H", self._fields_at))

    @classmethod
    def root(cls, data: memoryview) -> Table:
        """The table that a file begins with.

        Raises:
            Damaged: there is none.
        """
        if len(data) < 8:
            raise Damaged("it is too short")
        return cls(data, struct.unpack_from("<I", data)[0], [MAX_STEPS])

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A whole number, as `struct` calls its kind; the default where it is left out."""
        place = self._place(field)
        return default if place is None else int(self._value(kind, place))

    def table(self, field: int) -> Table | None:
        """A table inside this one."""
        place = self._place(field)
        return None if place is None else self._followed(place)

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        first, length = self._vector(field, 4)
        return [self._followed(first + 4 * index) for index in range(length)]

    def texts(self, field: int) -> list[str]:
        """A vector of strings."""
        first, length = self._vector(field, 4)
        places = range(first, first + 4 * length, 4)
        return [_decoded(*self._long(place + self._value("I", place), 1), self._data) for place in places]

    def text(self, field: int) -> str:
        """A string; nothing where it is left out."""
        place = self._place(field)
        return "" if place is None else _decoded(*self._long(place + self._value("I", place), 1), self._data)

    def numbers(self, field: int, kind: str) -> tuple[Any, ...]:
        """A vector of numbers."""
        first, length = self._vector(field, struct.calcsize(f"<{kind}"))
        return struct.unpack_from(f"<{length}{kind}", self._data, first)

    def bytes(self, field: int) -> memoryview:
        """A vector of bytes, however long: borrowed from the file."""
        place = self._place(field)
        if place is None:
            return self._data[:0]
        first, length = self._long(place + self._value("I", place), 1)
        return self._data[first : first + length]

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._fields_bytes:
            return None
        offset = self._value("H", self._fields_at + entry)
        return self._at + offset if offset else None

    def _followed(self, place: int) -> Table:
        return Table(self._data, place + self._value("I", place), self._steps)

    def _vector(self, field: int, size_bytes: int) -> tuple[int, int]:
        place = self._place(field)
        if place is None:
            return 0, 0
        first, length = self._long(place + self._value("I", place), size_bytes)
        self._count(length)
        return first, length

    def _long(self, at: int, size_bytes: int) -> tuple[int, int]:
        """Where a vector's first value is, and how many it has."""
        length = self._value("I", at)
        if at + 4 + length * size_bytes > len(self._data):
            raise Damaged("a list in it is longer than the file")
        return at + 4, length

    def _value(self, kind: str, at: int) -> int:
        self._count(1)
        if at < 0:
            raise Damaged("it leads out of itself")
        try:
            return int(struct.unpack_from(f"<{kind}", self._data, at)[0])
        except struct.error:
            raise Damaged("it leads out of itself") from None

    def _count(self, steps: int) -> None:
        self._steps[0] -= steps
        if self._steps[0] < 0:
            raise Damaged("it has no end")


def _decoded(first: int, length: int, data: memoryview) -> str:
    return bytes(data[first : first + min(length, 1 << 16)]).decode("utf-8", errors="replace")
