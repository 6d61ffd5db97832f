"""What models there are on this machine, and what is known of each. Part of the composition root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edged import tuning
from edged.core.errors import ModelError
from edged.edges.state_folder import StateFolder
from edged.models import model_folders
from edged.modelstore import Trust, available, find, manifest
from edged.modelstore.package import MODEL
from edged.modelstore.store import versions
from edged.proving import proven_ms


@dataclass(frozen=True)
class Listed:
    """One version of a model.

    Attributes:
        size_bytes: of all files that its manifest names.
        signed_by: as `Trust.signed_by` says it.
        invoke_ms: as it was measured on this board, by the number of threads: when the threads were chosen, or else
            when it was tested.
        active: whether this is the version that the model's name stands for.
        trouble: why it cannot be used; what is not known then is None.
    """

    name: str
    version: str | None
    size_bytes: int | None
    licence: str | None
    signed_by: str | None
    invoke_ms: dict[int, float]
    active: bool
    folder: str
    trouble: str | None

    def as_object(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def listed(root: Path, trust: Trust) -> Iterator[Listed]:
    """All versions of all models, the newest of a name first.

    Args:
        root: the state root.
        trust: who judges them.
    """
    times, proven, folders = StateFolder(root).read("threads.json"), proven_ms(root), model_folders(root)
    for name in available(folders):
        try:
            active: Path | None = find(name, folders, trust.judge)
        except ModelError:
            active = None
        try:
            found = versions(name, folders).values()
        except ModelError as error:
            yield Listed(name, None, None, None, None, {}, False, "", str(error))
            continue
        yield from (_one(name, folder, folder == active, times, proven, trust) for folder in found)


def _one(
    name: str, folder: Path, active: bool, times: Mapping[str, Any], proven: Mapping[str, float], trust: Trust
) -> Listed:
    try:
        told = manifest.read(folder)
        size_bytes = sum((folder / file).stat().st_size for file in told.files)
        sha256 = told.files[MODEL]
        measured = {1: proven[sha256]} if sha256 in proven else {}
        measured |= tuning.times_ms(times.get(tuning.times_key(sha256)))
    except (ModelError, KeyError, OSError) as error:
        sentence = str(error) if isinstance(error, ModelError) else f"{folder}: its files are not complete"
        return Listed(name, None, None, None, None, {}, active, str(folder), sentence)
    return Listed(
        name,
        told.version,
        size_bytes,
        told.licence,
        trust.signed_by(folder),
        measured,
        active,
        str(folder),
        trust.trouble(folder) if trust.policy != "off" else None,
    )
