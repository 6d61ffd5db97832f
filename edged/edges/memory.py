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
_OWN_PAGES = ("Anonymous", "Swap")
_LAST_FIELD = "VmFlags"
_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """No core dump of this process from here on, neither as a file nor through a pipe.

    A limit of 0 does not bind where the kernel pipes cores to a program, as with systemd-coredump or apport (core(5));
    a process that is not dumpable has none (prctl(2)). It also keeps other programs of the same user from reading
    this one's memory.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def give_back() -> None:
    """Gives memory that was freed back to the system: from any thread, at any time (malloc_trim(3))."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def give_back_after_start() -> None:
    """Frees what the imports and the loading of the model left behind, while no other thread is at work.

    Another thread could map something else where a file was when /proc was read, and lose it.

    The start reads most of every library and of the model once; the loop needs a small part of them, and not the model
    file at all, of which XNNPACK has packed the weights into memory of its own. Pages that are as they are in their
    file are given back; one that is wanted after all is read once more (madvise(2), MADV_DONTNEED).
    """
    give_back()
    libc = ctypes.CDLL(None, use_errno=True)
    for begin, end in clean_mappings():
        libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)


def clean_mappings() -> list[tuple[int, int]]:
    """Address ranges, (begin, end), of files that are mapped read-only and of which no page was changed.

    A page that was written to before its mapping became read-only, as the loader does with the addresses in a library,
    is this process's own and would be lost. /proc/self/smaps counts such pages as anonymous (proc(5)).
    """
    try:
        lines = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines()
        maps = set(Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return []
    found: list[tuple[int, int]] = []
    own = 1
    head = ""
    for line in lines:
        name, _, value = line.partition(":")
        if name in _OWN_PAGES:
            own += int(value.split()[0])
        elif name == _LAST_FIELD:
            # Both files must agree: an emulator may translate the addresses of one and not of the other.
            if own == 0 and head in maps:
                begin, _, end = head.split()[0].partition("-")
                found.append((int(begin, 16), int(end, 16)))
        elif len(fields := line.split(maxsplit=5)) == 6 and "-" in fields[0]:
            head, own = line, 0 if fields[5].startswith("/") and "w" not in fields[1] else 1
    return found
