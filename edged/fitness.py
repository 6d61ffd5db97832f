"""Whether a configuration can run here: its model and labels, its clip, its outbox. Part of the composition root.

Law: looks and tells, and never stops at the first problem.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edged import parts, trusted
from edged.config import (
    ROOTS,
    CameraTable,
    Config,
    Finding,
    Lent,
    Outline,
    outline,
    read,
    refusal,
    resolve,
    unknown_labels,
)
from edged.core.errors import CameraError, ModelError
from edged.core.types import ModelSpec, Region
from edged.device import Fitted
from edged.edges import camera_file
from edged.edges.pixels import geometry
from edged.edges.state_folder import StateFolder, state_root
from edged.edges.tflite import Interpreter
from edged.modelstore import Package, Trust, bundled, find
from edged.modelstore import load as load_package
from edged.proving import fit as fit_package
from edged.proving import prove_once

log = logging.getLogger("edged")


@dataclass(frozen=True)
class Fitness:
    """What an outline comes to.

    Attributes:
        findings: a key each and what is wrong with it, in no order.
        model: package, interpreter and spec; None where it cannot be used, or the outline names none.
        warning: what is wrong with its signature, where that is no reason to stop.
        picture_px: as of `Fitted`.
    """

    findings: tuple[Finding, ...]
    model: tuple[Package, Interpreter, ModelSpec] | None
    warning: str | None
    picture_px: tuple[int, int] | None


def load(
    path: Path, warn: Callable[[str], None], root: Path | None = None, lent: Lent = ROOTS
) -> tuple[Config, Fitted]:
    """A configuration, and everything that can be known of it before the start.

    Args:
        warn: takes each warning; nothing of it stops the daemon.
        root: the state root, `state_root()` where it is left out.
        lent: where the service that runs it has its credentials from.

    Raises:
        ConfigError: every problem of the file and of what it names, one line each, in the file's order.
    """
    reading = read(path, lent)
    for warning in reading.config.warnings if reading.config else ():
        warn(warning)
    fitness = examine(reading.outline, root)
    if reading.config is None:
        raise refusal(path, reading.lines, (*reading.findings, *fitness.findings))
    if fitness.warning is not None:
        warn(fitness.warning)
    return reading.config, _fitted(reading.config, fitness)


def fit(config: Config, root: Path | None = None) -> Fitted:
    """Everything that can be known of a valid configuration before the start.

    Raises:
        ConfigError: every problem of what it names.
    """
    fitness = examine(outline(config), root)
    if fitness.warning is not None:
        log.warning("%s", fitness.warning)
    return _fitted(config, fitness)


def examine(asked: Outline, root: Path | None = None) -> Fitness:
    """Looks for everything that an outline names."""
    findings: list[Finding] = []
    trust = trusted.trust(asked.model, root or state_root())
    model = warning = None
    try:
        model = None if asked.model is None else open_model(asked.model.name, 1, root, trust)
    except ModelError as error:
        findings.append((("model", "name"), str(error)))
    if model is not None:
        warning = trust.warning(model[0].folder)
        findings += unknown_labels(asked, model[2])
    size_px = None
    try:
        size_px = None if asked.camera is None else picture_px(asked.camera)
    except CameraError as error:
        findings.append((("camera", "source"), str(error)))
    if asked.device is not None and asked.outbox is not None:
        trouble = parts.outbox_trouble(asked.outbox, StateFolder((root or state_root()) / asked.device.name))
        findings += [] if trouble is None else [(("outbox", "path"), trouble)]
    return Fitness(tuple(findings), model, warning, size_px)


def _fitted(config: Config, fitness: Fitness) -> Fitted:
    if fitness.findings or fitness.model is None:
        raise refusal(config.path, config.lines, fitness.findings)
    package, interpreter, spec = fitness.model
    regions, rules = resolve(config, spec)
    return Fitted(package, interpreter, spec, regions, rules, fitness.picture_px)


def picture_px(camera: CameraTable) -> tuple[int, int] | None:
    """(width_px, height_px) of the camera's pictures before turning, as far as it is known before the start.

    Raises:
        CameraError: the file cannot be played.
    """
    if camera.scheme == "file":
        return camera_file.picture_px(camera.path)
    return (camera.width_px, camera.height_px) if camera.scheme in ("v4l2", "picamera2") else None


def model_folders(root: Path) -> tuple[Path, ...]:
    """Where models are looked for: the store, then what ships."""
    return (root / "models", bundled())


def open_model(
    name: str, threads: int, root: Path | None = None, trust: Trust | None = None
) -> tuple[Package, Interpreter, ModelSpec]:
    """Finds, judges, verifies, loads and fits a model; one that was never loaded here is proven first.

    Args:
        trust: which models may be used; left out: all.

    Raises:
        ModelError: one sentence.
        RunError: it could not be proven, which says nothing about the model.
    """
    judge = trust.judge if trust is not None else None
    package = load_package(find(name, model_folders(root or state_root()), judge))
    prove_once(package, root)
    interpreter = Interpreter(package.model_path, threads)
    return package, interpreter, fit_package(package, interpreter.input, interpreter.outputs)


def seen_share(spec: ModelSpec, region: Region, frame_px: tuple[int, int], rotate_deg: int) -> float:
    """What part of a region's area the model gets to see, 0..1: less than all of it where the fit crops."""
    width_px, height_px = frame_px if rotate_deg in (0, 180) else frame_px[::-1]
    box = region.box.pixels(width_px, height_px)
    (left, top, right, bottom), _ = geometry(box, region.fit, spec.input_size)
    return (right - left) * (bottom - top) / ((box[2] - box[0]) * (box[3] - box[1]))
