"""Where each key of a TOML text stands, which `tomllib` does not tell.

Law: this reads text that `tomllib` has accepted already, so it may be lenient, and it never judges. Whatever it cannot
place falls back to the nearest table around it, at last to line 1: a line number is a help, never a reason to fail.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]
"""A key as pydantic says it: names of tables and keys, indices (from 0) into lists."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY = re.compile(r'[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' + r"|'''.*?'{3,5}" + r'|"(?:\\.|[^"\\\n])*"' + r"|'[^'\n]*'", re.DOTALL
)
_BARE = re.compile(r"[^,\]}#\n]*")


class Lines:
    """The line of every key, list item and table header of one TOML text.

    Args:
        text: the text; best one that `tomllib.loads` accepts. Any other gives fewer lines, never an exception.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._document()

    def line(self, path: Path) -> int:
        """The line, counted from 1, of a key; of the nearest table around it where the key is not in the text."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def __contains__(self, path: Path) -> bool:
        return path in self._lines

    def _document(self) -> None:
        table: Path = ()
        at = self._skip(0)
        while at < len(self._text):
            start = at
            if self._text.startswith("[", at):
                table, at = self._header(at)
            else:
                at = self._pair(table, at)
            if at == start:  # no TOML: step over it rather than stand still
                at += 1
            at = self._skip(at)

    def _header(self, at: int) -> tuple[Path, int]:
        start = at
        many = self._text.startswith("[[", at)
        names, at = self._key(self._skip(at + 1 + many))
        table: Path = ()
        for depth, name in enumerate(names, start=1):
            table = (*table, name)
            self._lines.setdefault(table, self._line_at(start))
            if many and depth == len(names):
                index = self._counts[table] = self._counts.get(table, -1) + 1
                table = (*table, index)
                self._lines[table] = self._line_at(start)
            elif table in self._counts:
                table = (*table, self._counts[table])
        if not many:  # a header after a table inside it: [a.b], then [a]
            self._lines[table] = self._line_at(start)
        end = self._text.find("]", at)
        return table, end + 1 + many if end >= 0 else len(self._text)

    def _pair(self, table: Path, at: int) -> int:
        start = at
        names, at = self._key(at)
        path = table
        for name in names:
            path = (*path, name)
            self._lines.setdefault(path, self._line_at(start))
        at = self._skip(at)
        if not self._text.startswith("=", at):
            return at
        return self._value(path, self._skip(at + 1))

    def _key(self, at: int) -> tuple[list[str], int]:
        names: list[str] = []
        while found := _KEY.match(self._text, at):
            names.append(_plain(found.group()))
            at = found.end()
            dot = _DOT.match(self._text, at)
            if dot is None:
                break
            at = dot.end()
        return names, at

    def _value(self, path: Path, at: int) -> int:
        if found := _STRING.match(self._text, at):
            return found.end()
        if self._text.startswith("[", at) or self._text.startswith("{", at):
            return self._collection(path, at, "]" if self._text[at] == "[" else "}")
        bare = _BARE.match(self._text, at)
        return bare.end() if bare else at

    def _collection(self, path: Path, at: int, end: str) -> int:
        """A list or an inline table; `at` is its opening bracket."""
        at = self._skip(at + 1)
        index = 0
        while at < len(self._text) and self._text[at] != end:
            start = at
            if end == "]":
                self._lines[(*path, index)] = self._line_at(at)
                at = self._value((*path, index), at)
                index += 1
            else:
                at = self._pair(path, at)
            at = self._skip(at)
            if self._text.startswith(",", at):
                at = self._skip(at + 1)
            elif at == start:
                return at
        return at + 1

    def _skip(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        return found.end() if found else at

    def _line_at(self, at: int) -> int:
        return bisect_right(self._starts, at)


def _plain(key: str) -> str:
    """A key as `tomllib` gives it: quotes and escapes resolved."""
    if key[0] not in "\"'":
        return key
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError:
        return key
