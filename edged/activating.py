"""The versions of a device's model, brought together with the rest of it. Part of the composition root."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from edged import stock, tuning
from edged.beginning import fixed
from edged.config import Config
from edged.core import wire
from edged.core.activation import Activation, Record
from edged.core.errors import ModelError, RunError
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.stats import Ring
from edged.duties.activation import Activations
from edged.duties.classifier import ChangingClassifier
from edged.duties.publisher import MqttPublisher
from edged.edges.camera import CaptureCamera
from edged.edges.errands import Errands
from edged.edges.outbox_fallback import DurableOutbox
from edged.edges.state_folder import StateFolder
from edged.edges.tflite import Interpreter, TfliteClassifier, median_invoke_ms
from edged.fitted import Fitted
from edged.models import model_folders, open_model
from edged.modelstore import manifest
from edged.modelstore.package import MODEL
from edged.modelstore.store import versions
from edged.ports import Clock
from edged.seat import Seat
from edged.stock import Occupant, Stock
from edged.vitals import Vitals

log = logging.getLogger("edged.model")


def standing(fitted: Fitted, clock: Clock) -> Activation:
    """How things stand at the start."""
    spec = fitted.spec
    now = clock.label(clock.monotonic())
    return Activation(fitted.record or Record("settled", spec.name, spec.version, None, None, now))


def occupant(
    config: Config, fitted: Fitted, interpreter: Interpreter, threads: int, classifier: TfliteClassifier, root: Path
) -> Occupant:
    """The model that a start has loaded."""
    limits = stock.limits(config, len(fitted.regions), _slowest_ms_before(config, fitted, threads, root))
    return Occupant(fitted.package, interpreter, fitted.spec, fitted.regions, threads, classifier, limits)


def _slowest_ms_before(config: Config, fitted: Fitted, threads: int, root: Path) -> float | None:
    """What an invoke of the version before takes on this board: measured now where that is not known.

    Infinity where that version cannot be loaded any more: then there is nothing to compare with.
    """
    record = fitted.record
    if record is None or record.phase != "probation" or record.previous is None or config.model.budget_ms is not None:
        return None
    folder = versions(record.name, model_folders(root)).get(record.previous)
    if folder is None:
        return math.inf
    key = tuning.times_key(manifest.read(folder).files.get(MODEL, ""))
    known = tuning.times_ms(StateFolder(root).read("threads.json").get(key))
    if threads in known:
        return known[threads]
    if known and config.model.threads is None:
        return min(known.values())
    try:
        _, interpreter, _ = open_model(str(folder), threads, root)
    except (ModelError, RunError, MemoryError) as error:
        log.warning("it is not known how fast version %s is: %s", record.previous, error)
        return math.inf
    slowest_ms = median_invoke_ms(interpreter, stock.TIMED_INVOKES)
    interpreter.close()
    return slowest_ms


def activations(
    config: Config,
    root: Path,
    activation: Activation,
    occupant: Occupant,
    wanted: Sequence[str],
    classifier: ChangingClassifier,
    camera: CaptureCamera,
    outbox: DurableOutbox,
    vitals: Vitals,
    pipeline: Pipeline,
    invoke_ms: Ring,
    clock: Clock,
    topics: wire.Topics,
    publisher: MqttPublisher,
    problems: Problems,
    *,
    check: Callable[[Interpreter], object],
    describe: Callable[[], object],
    restart: Callable[[], object],
) -> Activations[Occupant]:
    """The duty that looks after them, for the objects of a device.

    Args:
        check: told of each interpreter that begins to judge.
        describe, restart: as of `Activations`.
    """
    name = activation.record.name
    found = Activations(
        activation,
        Stock(config, root, name, wanted, invoke_ms, vitals, clock),
        Seat(occupant, config, classifier, camera, outbox, vitals, pipeline, invoke_ms, check),
        Errands(),
        clock,
        topics,
        publisher,
        problems,
        limits=occupant.limits,
        describe=describe,
        restart=restart,
        fixed=fixed(config.model.name, root),
    )
    classifier.on_fault = found.fault
    return found
