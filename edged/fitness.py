"""Whether a configuration can run here: its model and labels, its clip, its outbox. Part of the composition root.

Law: looks and tells, and never stops at the first problem.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edged import parts, trusted
from edged.beginning import begin
from edged.config import ROOTS, CameraTable, Config, Finding, Lent, Outline, outline, read, refusal, resolve
from edged.core.activation import Record
from edged.core.errors import CameraError
from edged.core.types import ModelSpec, Region
from edged.edges import camera_file
from edged.edges.pixels import geometry
from edged.edges.state_folder import StateFolder, state_root
from edged.edges.tflite import Interpreter
from edged.fitted import Fitted
from edged.modelstore import Package

log = logging.getLogger("edged")


@dataclass(frozen=True)
class Fitness:
    """What an outline comes to.

    Attributes:
        findings: a key each and what is wrong with it, in no order.
        model: package, interpreter and spec; None where it cannot be used, or the outline names none.
        record: how things stand with its versions, see `Begun`.
        warnings: what is wrong with it and no reason to stop.
        picture_px: as of `Fitted`.
    """

    findings: tuple[Finding, ...]
    model: tuple[Package, Interpreter, ModelSpec] | None
    record: Record | None
    warnings: tuple[str, ...]
    picture_px: tuple[int, int] | None


def load(
    path: Path, warn: Callable[[str], None], root: Path | None = None, lent: Lent = ROOTS, *, starts: bool = False
) -> tuple[Config, Fitted]:
    """A configuration, and everything that can be known of it before the start.

    Args:
        warn: takes each warning; nothing of it stops the daemon.
        root: the state root, `state_root()` where it is left out.
        lent: where the service that runs it has its credentials from.
        starts: a daemon is to run it; left out, nothing is written but that a model was proven here (`proving`).

    Raises:
        ConfigError: every problem of the file and of what it names, one line each, in the file's order.
    """
    reading = read(path, lent)
    for warning in reading.config.warnings if reading.config else ():
        warn(warning)
    fitness = examine(reading.outline, root, starts=starts and reading.config is not None)
    if reading.config is None:
        raise refusal(path, reading.lines, (*reading.findings, *fitness.findings))
    for warning in fitness.warnings:
        warn(warning)
    return reading.config, _fitted(reading.config, fitness)


def fit(config: Config, root: Path | None = None) -> Fitted:
    """Everything that can be known of a valid configuration before the start of a daemon with it.

    Raises:
        ConfigError: every problem of what it names.
    """
    fitness = examine(outline(config), root, starts=True)
    for warning in fitness.warnings:
        log.warning("%s", warning)
    return _fitted(config, fitness)


def examine(asked: Outline, root: Path | None = None, *, starts: bool = False) -> Fitness:
    """Looks for everything that an outline names.

    Args:
        starts: as of `load`.
    """
    root = root or state_root()
    begun = begin(asked, root, trusted.trust(asked, root), starts=starts)
    findings = list(begun.findings)
    size_px = None
    try:
        size_px = None if asked.camera is None else picture_px(asked.camera)
    except CameraError as error:
        findings.append((("camera", "source"), str(error)))
    if asked.device is not None and asked.outbox is not None:
        trouble = parts.outbox_trouble(asked.outbox, StateFolder(root / asked.device.name))
        findings += [] if trouble is None else [(("outbox", "path"), trouble)]
    return Fitness(tuple(findings), begun.model, begun.record, begun.warnings, size_px)


def _fitted(config: Config, fitness: Fitness) -> Fitted:
    if fitness.findings or fitness.model is None:
        raise refusal(config.path, config.lines, fitness.findings)
    package, interpreter, spec = fitness.model
    regions, rules = resolve(config, spec)
    return Fitted(package, interpreter, spec, regions, rules, fitness.picture_px, fitness.record)


def picture_px(camera: CameraTable) -> tuple[int, int] | None:
    """(width_px, height_px) of the camera's pictures before turning, as far as it is known before the start.

    Raises:
        CameraError: the file cannot be played.
    """
    if camera.scheme == "file":
        return camera_file.picture_px(camera.path)
    return (camera.width_px, camera.height_px) if camera.scheme in ("v4l2", "picamera2") else None


def seen_share(spec: ModelSpec, region: Region, frame_px: tuple[int, int], rotate_deg: int) -> float:
    """What part of a region's area the model gets to see, 0..1: less than all of it where the fit crops."""
    width_px, height_px = frame_px if rotate_deg in (0, 180) else frame_px[::-1]
    box = region.box.pixels(width_px, height_px)
    (left, top, right, bottom), _ = geometry(box, region.fit, spec.input_size)
    return (right - left) * (bottom - top) / ((box[2] - box[0]) * (box[3] - box[1]))
