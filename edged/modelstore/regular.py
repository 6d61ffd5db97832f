"""Files of a model are opened here, and only what is a regular file is: whoever packed it may have put anything there.

Law: opens for reading, and knows nothing of what is in it. A named pipe nobody writes to would hold the reader for
ever, a device has no end, and some do something by being opened alone: what it is is asked before.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from edged.core.errors import ModelError

_OTHERS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "a device"),
)


def opened(path: Path) -> BufferedReader:
    """A regular file, open for reading; links are followed.

    Raises:
        ModelError: it is something else.
        OSError: it cannot be opened, or there is none.
    """
    check(path)
    # Without waiting, and looked at once more: it may be another one by now.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        _check_mode(path, os.fstat(file.fileno()).st_mode)
    except ModelError:
        file.close()
        raise
    return file


def check(path: Path) -> None:
    """Refuses what is no regular file; links are followed.

    Raises:
        ModelError: it is none; one sentence that says what it is.
        OSError: it cannot be looked at, or there is none.
    """
    _check_mode(path, path.stat().st_mode)


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = next((words for is_one, words in _OTHERS if is_one(mode)), "something else")
        raise ModelError(f"{path}: is no file but {what}; put the file itself there")
