"""The other processes of this machine, read from /proc: who has a device open, and which of them are edged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Process:
    """One process.

    Attributes:
        words: its command line.
        unit: the systemd service that it belongs to; empty where it belongs to none.
    """

    pid: int
    name: str
    words: tuple[str, ...]
    unit: str


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has a file open.

    Attributes:
        is_complete: False where this user may not look at all processes.
    """

    processes: tuple[Process, ...]
    is_complete: bool


def holders(path: Path, root: Path = ROOT) -> Holders:
    """Every other process that has a file or device open."""
    try:
        wanted = path.stat()
    except OSError:
        return Holders((), is_complete=True)
    found, is_complete = list[Process](), True
    for pid in _pids(root):
        try:
            descriptors = list((root / f"proc/{pid}/fd").iterdir())
        except PermissionError:
            is_complete = False
            continue
        except OSError:  # it has ended meanwhile
            continue
        if any(_is_same(one, wanted) for one in descriptors):
            found.append(_process(pid, root))
    return Holders(tuple(found), is_complete)


def daemons(root: Path = ROOT) -> tuple[Process, ...]:
    """Every other process that is `edged run`."""
    return tuple(one for one in (_process(pid, root) for pid in _pids(root)) if _is_daemon(one.words))


def _pids(root: Path) -> Iterator[int]:
    own = os.getpid()
    for folder in (root / "proc").glob("[0-9]*"):
        if folder.name.isdecimal() and int(folder.name) != own:
            yield int(folder.name)


def _is_same(descriptor: Path, wanted: os.stat_result) -> bool:
    try:
        found = descriptor.stat()
    except OSError:
        return False
    if wanted.st_rdev:
        return found.st_rdev == wanted.st_rdev and found.st_mode == wanted.st_mode
    return os.path.samestat(found, wanted)


def _process(pid: int, root: Path) -> Process:
    folder = root / f"proc/{pid}"
    words = tuple(_read(folder / "cmdline").rstrip("\0").split("\0"))
    return Process(pid, _read(folder / "comm").strip() or "unknown", words, _unit(_read(folder / "cgroup")))


def _unit(cgroup: str) -> str:
    """The service in the path of a cgroup, such as 0::/system.slice/edged.service."""
    parts = cgroup.strip().split("/")
    return next((part for part in reversed(parts) if part.endswith(".service")), "")


def _is_daemon(words: tuple[str, ...]) -> bool:
    """Whether a command line is Python (or a script) running `edged run`."""
    names = [word.rpartition("/")[2] for word in words[:4]]
    return any(pair == ("edged", "run") for pair in pairwise(names))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
