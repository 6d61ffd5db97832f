"""This process's own memory: giving back what only the start needed. On a board with 512 MB each megabyte is a picture.

Everything here is a hint to the C library or the kernel and changes no result; where it cannot be given, nothing is
lost but memory.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

_MADV_DONTNEED = 4


def give_back_after_start(model_path: Path) -> None:
    """Frees what the imports and the loading of the model left behind.

    The runtime maps the model file and XNNPACK packs the weights into memory of its own, after which nobody reads the
    mapped pages again; if somebody does, the kernel reads them from the file once more (madvise(2), MADV_DONTNEED on
    a file mapping).
    """
    gc.collect()
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    for begin, end in _mappings(model_path):
        libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)


def _mappings(path: Path) -> list[tuple[int, int]]:
    """Address ranges, (begin, end), where a file is mapped read-only."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        name = str(path.resolve())
    except OSError:
        return []
    found = []
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == name and "w" not in fields[1]:
            begin, _, end = fields[0].partition("-")
            found.append((int(begin, 16), int(end, 16)))
    return found
