"""Configuration, model, speed and rules: what can be known before a camera or a broker is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from edged import app, trusted
from edged.config import Config, Lent, load, resolve
from edged.core.errors import CameraError, ConfigError, ModelError, RunError
from edged.core.findings import Finding, ok, problem, trouble, unavailable, warning
from edged.core.threads import ENOUGH
from edged.core.types import ModelSpec, Region
from edged.doctor.subject import Subject
from edged.edges import board, ownership
from edged.edges.state_folder import state_root
from edged.edges.tflite import RUNTIME, Interpreter, median_invoke_ms

INVOKES = 5


def configuration(path: Path, lent: Lent) -> tuple[Config | None, list[Finding]]:
    """The configuration, and every problem or warning of it; `lent`: where its service has its credentials from."""
    try:
        config = load(path, lent)
    except ConfigError as error:
        return None, [_config_problem(text) for text in error.problems]
    found = [
        warning("configuration", text, f"change {path}; `edged check` says when it is right")
        for text in config.warnings
    ]
    return config, found or [ok("configuration", f"{path}: device {config.device.name}, {_count(config)}")]


def _config_problem(text: str) -> Finding:
    if "(Permission denied)" in text and not ownership.is_root():
        return problem("configuration", text, "run it with sudo: this user may not read what the service may")
    return trouble("configuration", text, "mend it; docs/config.md has every key")


def _count(config: Config) -> str:
    count = len(config.rules)
    return f"{count} {'rule' if count == 1 else 'rules'}"


def fitness(subject: Subject, config: Config) -> Iterator[Finding]:
    """Whether the model is whole, how fast it runs here, and whether the rules fit it."""
    root = _store(subject)
    trust = trusted.trust_of(config, root)
    try:
        package, interpreter, spec = app.open_model(config.model.name, 1, root, trust)
    except (ModelError, RunError) as error:
        yield trouble("model", str(error), "install the model again, or name another one in [model] name")
        yield from (unavailable(check, "the model cannot be used") for check in ("speed", "rules"))
        return
    width_px, height_px = spec.input_size
    size = f"{width_px}x{height_px} pixels, {len(spec.labels)} labels"
    if (untrusted := trust.warning(package.folder)) is not None:
        yield warning("model", untrusted, "install a signed version, or sign this one: docs/models.md says how")
    else:
        yield ok("model", f"{spec.name} {spec.version}, its hashes are right; {size}")
    yield _speed(config, interpreter, package.model_path)
    yield from _rules(config, spec)


def _store(subject: Subject) -> Path:
    """The state root with the models; where this user may not look into the service's, their own."""
    state = subject.state
    return state if not state.exists() or os.access(state, os.X_OK) else state_root()


def _speed(config: Config, interpreter: Interpreter, path: Path) -> Finding:
    """Whether the delegate is active, and an invoke fits between two frames."""
    frame_ms = 1000.0 / config.camera.fps
    threads = config.model.threads or 1
    if threads > 1:
        interpreter = Interpreter(path, threads)
    if not interpreter.xnnpack:
        return warning(
            "speed",
            f"XNNPACK is not active in {RUNTIME}: inference is several times slower than it could be",
            "install ai-edge-litert, and leave ProcSubset=pid out of the unit: it hides /proc/cpuinfo",
        )
    ms = median_invoke_ms(interpreter, INVOKES)
    if ms > ENOUGH * frame_ms and config.model.threads is None and board.cores() > 1:
        threads = board.cores()
        ms = min(ms, median_invoke_ms(Interpreter(path, threads), INVOKES))
    told = f"XNNPACK is active; {ms:.1f} ms an invoke with {threads} {'thread' if threads == 1 else 'threads'}"
    if ms > frame_ms:
        return warning(
            "speed",
            f"{told}, longer than a frame ({frame_ms:.0f} ms at {config.camera.fps:g} fps): frames will be left out",
            f"set [camera] fps to {max(0.1, 1000.0 * ENOUGH / ms):.1f} or less, or take a smaller model",
        )
    return ok("speed", f"{told}, of {frame_ms:.0f} ms a frame")


def _rules(config: Config, spec: ModelSpec) -> Iterator[Finding]:
    """Whether the model has what the rules ask for, and sees the regions."""
    try:
        regions, fitted = resolve(config, spec)
    except ConfigError as error:
        yield from (trouble("rules", text, "choose a label that the model has") for text in error.problems)
        return
    count = len(fitted)
    shares = ", ".join(_shares(config, spec, regions))
    yield ok("rules", f"{count} fit{'s' if count == 1 else ''} the model{shares and f', which sees {shares}'}")


def _shares(config: Config, spec: ModelSpec, regions: Sequence[Region]) -> Iterator[str]:
    """What part of each region the model sees; nothing where only the camera can say how large its pictures are."""
    try:
        picture_px = app.picture_px(config.camera)
    except CameraError:  # the line about the camera has it
        return
    if picture_px is None:
        return
    for region in regions:
        yield f"{app.seen_share(spec, region, picture_px, config.camera.rotate_deg):.0%} of {region.name}"
