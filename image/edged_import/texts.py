"""Files that people write, with whatever editor they have: bytes to text, and what is wrong with it.

Law: bytes and sentences only, no file is opened here.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, for the person who wrote it. It never repeats a secret."""

    file: str
    line: int | None
    sentence: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: {self.sentence}"


class Refused(Exception):
    """A file cannot be used. `problems` says why; there is at least one."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def text(name: str, data: bytes) -> str:
    r"""The text of a file, its lines ended by "\n", without the mark that some editors put in front.

    Raises:
        Refused: the bytes are no UTF-8, or too many.
    """
    if len(data) > MAX_FILE_BYTES:
        raise Refused(Problem(name, None, f"is larger than {MAX_FILE_BYTES} bytes; expected a short text"))
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Refused(Problem(name, 1, "is text in UTF-16; choose UTF-8 where your editor saves it"))
    try:
        plain = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused(Problem(name, line, "is not UTF-8: a byte here is no text; save the file as UTF-8")) from None
    if "\0" in plain:
        line = plain.count("\n", 0, plain.index("\0")) + 1
        raise Refused(Problem(name, line, "holds a zero byte, which is no text; write the file anew"))
    return plain.replace("\r\n", "\n")


def plain_lines(plain: str) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers from 1: without blanks around them, empty ones and comments."""
    numbered = ((number, line.strip()) for number, line in enumerate(plain.split("\n"), start=1))
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


def blanked(data: bytes, lines: frozenset[int], note: str) -> bytes:
    """The bytes with these lines, counted from 1, made comments of the same length.

    The same length, so that it can be written over the old bytes in place: FAT keeps a deleted file's bytes on the
    card, and a file that grows or moves can be lost in a power cut.
    """
    rows = data.split(b"\n")
    for number in lines:
        row = rows[number - 1]
        end = b"\r" if row.endswith(b"\r") else b""
        mark = codecs.BOM_UTF8 if row.startswith(codecs.BOM_UTF8) else b""
        room = len(row) - len(end) - len(mark)
        rows[number - 1] = mark + f"# {note}".encode("ascii").ljust(room)[:room] + end
    return b"\n".join(rows)
