"""Which version of the model a start runs, and the way back where it cannot. Part of the composition root.

Law: decided by `core.activation.begin` alone; what it decides is on the disk before anything of the model is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edged.config import Finding, Outline, unknown_labels
from edged.core import activation
from edged.core.activation import FAILED, Record
from edged.core.errors import ModelError
from edged.core.last_exit import told
from edged.core.types import ModelSpec
from edged.edges.clock import SystemClock
from edged.edges.state_folder import StateFolder
from edged.edges.tflite import Interpreter
from edged.models import model_folders, open_model
from edged.modelstore import Package, Trust, find
from edged.modelstore.manifest import FILE_NAME
from edged.modelstore.store import AT, versions

RECORD = "activation.json"
"""In the device's folder; there also where there is nothing to choose from, so that it is known what is in use."""

log = logging.getLogger("edged.model")

Opened = tuple[Package, Interpreter, ModelSpec]


@dataclass(frozen=True)
class Begun:
    """A model, or why there is none.

    Attributes:
        record: how things stand with its versions; None where there is nothing to choose from.
        warnings: what is wrong and no reason to stop.
    """

    model: Opened | None
    record: Record | None
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()


def on_probation(root: Path) -> Iterator[Record]:
    """The versions that devices of a state root try now, or tried when they were killed."""
    for path in root.glob(f"*/{RECORD}"):
        record = activation.read(StateFolder(path.parent).read(RECORD))
        if record is not None and record.phase == "probation":
            yield record


def in_use(root: Path, device: str) -> frozenset[tuple[str, str]]:
    """(name, version) of what a device runs, and of what would come back."""
    record = activation.read(StateFolder(root / device).read(RECORD))
    return frozenset() if record is None else frozenset((record.name, one) for one in (record.running, record.base))


def fixed(name: str, root: Path) -> str | None:
    """Why a `[model] name` leaves no version to choose; None where it does."""
    if "/" in name or name.endswith(".tflite"):
        return "the configuration names the path of a model; give [model] name the name of one in the store"
    if AT in name:
        return "the configuration names a version; leave it out of [model] name"
    if (root / "models" / name / FILE_NAME).is_file():
        return f"{name} was put into the store by hand; install it with: edged model add"
    return None


def begin(asked: Outline, root: Path, trust: Trust, *, starts: bool) -> Begun:
    """Opens the model of an outline, in the version that is to run.

    Args:
        starts: a daemon is to run it: what is decided is written down.
    """
    if asked.model is None:
        return Begun(None, None)
    name = asked.model.name
    if asked.device is None:
        return _open(asked, name, root, trust, None)
    folder = StateFolder(root / asked.device.name)
    kept = activation.read(folder.read(RECORD))
    if fixed(name, root) is not None:
        found = _open(asked, name, root, trust, None)
        if starts and found.model is not None and not found.findings:
            folder.write(RECORD, _only(found.model[2], kept).as_json())
        return found
    record = _standing(name, kept, root, trust)
    if record is None:
        return _open(asked, name, root, trust, None)
    if starts:
        folder.write(RECORD, record.as_json())
    warnings = [_sentence(record)] if record.phase in FAILED and record != kept and not record.is_put_back else []
    found = _open(asked, f"{name}{AT}{record.running}", root, trust, record)
    if record.phase == "probation" and (found.model is None or found.findings):
        record = _refused(record, found)
        if starts:
            folder.write(RECORD, record.as_json())
        warnings.append(_sentence(record))
        second = _open(asked, f"{name}{AT}{record.running}", root, trust, record)
        if second.model is None or second.findings:
            return found
        found = second
    return replace(found, warnings=(*warnings, *found.warnings))


def _only(spec: ModelSpec, kept: Record | None) -> Record:
    """The record where there is nothing to choose from: what runs is in use all the same."""
    clock = SystemClock()
    now = clock.label(clock.monotonic())
    found = Record("settled", spec.name, spec.version, None, None, now)
    return kept if kept is not None and replace(kept, since=now) == found else found


def _standing(name: str, kept: Record | None, root: Path, trust: Trust) -> Record | None:
    """The record of this start; None where nothing can be chosen: opening the model says why."""
    folders = model_folders(root)
    try:
        found = versions(name, folders)
        place = find(name, folders)
    except ModelError:
        return None
    chosen = next((version for version, path in found.items() if path == place), None)
    objection = None
    try:
        allowed = find(name, folders, trust.judge)
        chosen = next((version for version, path in found.items() if path == allowed), None)
    except ModelError as error:
        log.warning("model %s %s: %s", name, chosen, error)
        objection = told(str(error), "it may not be used")
    there = [version for version, path in found.items() if _is_allowed(path, trust)]
    clock = SystemClock()
    return activation.begin(name, chosen, kept, there, clock.label(clock.monotonic()), objection)


def _is_allowed(folder: Path, trust: Trust) -> bool:
    try:
        trust.judge(folder)
    except ModelError:
        return False
    return True


def _open(asked: Outline, name: str, root: Path, trust: Trust, record: Record | None) -> Begun:
    try:
        model = open_model(name, 1, root, trust)
    except ModelError as error:
        return Begun(None, record, ((("model", "name"), str(error)),))
    warning = trust.warning(model[0].folder)
    findings = tuple(unknown_labels(asked, model[2]))
    return Begun(model, record, findings, () if warning is None else (warning,))


def _refused(record: Record, found: Begun) -> Record:
    clock = SystemClock()
    reason = told("; ".join(text for _, text in found.findings), "the model could not be used")
    for _, text in found.findings:
        log.warning("model %s %s: %s", record.name, record.version, text)
    return activation.failed(record, "refused", reason, clock.label(clock.monotonic()))


def _sentence(record: Record) -> str:
    assert record.phase in FAILED
    return f"model {record.name} {record.version} is not used, {record.running} is: {record.reason}"
