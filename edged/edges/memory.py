"""This process's own memory: giving back what only the start needed, and keeping the rest to itself.

Giving back is a hint to the C library or the kernel and changes no result: on a board with 512 MB each megabyte is a
picture. Keeping to itself is a promise: a core dump would hold the picture that was in memory.
"""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path

_MADV_DONTNEED = 4
_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """No core dump of this process from here on, neither as a file nor through a pipe.

    A limit of 0 does not bind where the kernel pipes cores to a program, as with systemd-coredump or apport (core(5));
    a process that is not dumpable has none (prctl(2)). It also keeps other programs of the same user from reading
    this one's memory.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


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
