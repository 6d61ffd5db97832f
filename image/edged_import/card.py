"""The first partition of the card: read, and written only where it must be.

Law: no file is understood here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edged_import import durable
from edged_import.texts import MAX_FILE_BYTES, Problem

ERRORS = "edged-error.txt"


class Card:
    """The partition that a person writes.

    Args:
        folder: where it is mounted.
        make_writable: called with True before it is written and with False afterwards; may raise OSError.
    """

    def __init__(self, folder: Path, make_writable: Callable[[bool], None]) -> None:
        self._folder = folder
        self._make_writable = make_writable

    def read(self, name: str) -> bytes | None:
        """A file, or None where there is none. Of one that is too large, as much as shows that it is.

        Raises:
            OSError: it cannot be read.
        """
        path = self._path(name)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)

    def names(self) -> list[str]:
        """The files that are there; none where there is no card."""
        try:
            return sorted(path.name for path in self._folder.iterdir() if path.is_file())
        except OSError:
            return []

    def comment_out(self, name: str, data: bytes) -> None:
        """Lines of a file become comments, see `durable.comment_out`.

        Raises:
            OSError: it could not be written.
        """
        with self._writable():
            durable.comment_out(self._path(name), data)

    def tell(self, problems: Sequence[Problem]) -> None:
        """Writes edged-error.txt, or removes it where there is nothing to tell; nothing is written twice.

        Raises:
            OSError: it could not be written.
        """
        path = self._folder / ERRORS
        page = error_page(problems).encode() if problems else None
        if page == (path.read_bytes() if path.is_file() else None) or not self._folder.is_dir():
            return
        with self._writable():
            if page is None:
                path.unlink()
            else:
                durable.write_on_fat(path, page)

    def _path(self, name: str) -> Path:
        """Of a file by its name in whatever case, as FAT itself takes it, on every file system."""
        same = next((found for found in self.names() if found.lower() == name), name)
        return self._folder / same

    @contextmanager
    def _writable(self) -> Iterator[None]:
        self._make_writable(True)
        try:
            yield
        finally:
            self._make_writable(False)


def error_page(problems: Sequence[Problem]) -> str:
    """What a person reads on another computer, with the line ends that every editor shows."""
    lines = [
        "edged looked at this card when the board started, and something is to be done:",
        "",
        *(f"* {problem}" for problem in problems),
        "",
        "A file that is named here was left alone; what the board had before still holds. Change it, put the card",
        "back, and start the board. This file vanishes when all is well.",
        "",
    ]
    return "\r\n".join(lines)
