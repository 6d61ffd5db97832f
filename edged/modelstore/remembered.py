"""Which version of a model is used, as `edged model use` left it: `active.json` in the store.

Law: names and versions alone, written under the lock of `installation.changing`. A damaged file is no file: then the
newest allowed version is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edged.modelstore import durable

FILE_NAME = "active.json"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Choice:
    """The version of a model that is used, and the one that was used before, where there was one."""

    version: str
    previous: str | None = None


def read(store: Path) -> dict[str, Choice]:
    """What is remembered, by the models' names."""
    found = object_in(store / FILE_NAME)
    return {
        name: Choice(one["version"], one.get("previous"))
        for name, one in found.items()
        if isinstance(one, dict) and isinstance(one.get("version"), str) and isinstance(one.get("previous"), str | None)
    }


def write(store: Path, choices: Mapping[str, Choice]) -> None:
    """Replaces what is remembered.

    Raises:
        OSError: it cannot be written.
    """
    content = {name: {"version": one.version, "previous": one.previous} for name, one in sorted(choices.items())}
    durable.make_folder(store)
    durable.write(store / FILE_NAME, json.dumps(content, indent=1).encode())


def remember(store: Path, name: str, version: str, standing: str | None = None) -> None:
    """From now on this version; the one until now is the previous one.

    Args:
        standing: the version that the name stands for, where nobody chose it.

    Raises:
        OSError: it cannot be written.
    """
    choices = read(store)
    known = choices.get(name)
    if known is None or known.version != version:
        before = known.version if known else standing
        write(store, choices | {name: Choice(version, before if before != version else None)})


def forget(store: Path, name: str) -> None:
    """Nobody chose a version of this model.

    Raises:
        OSError: it cannot be written.
    """
    choices = read(store)
    if choices.pop(name, None) is not None:
        write(store, choices)


def object_in(path: Path) -> dict[str, object]:
    """The JSON object in a file; empty where there is none, or it is damaged."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
