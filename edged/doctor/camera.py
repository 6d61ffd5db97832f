"""The camera: whether it is there, who has it, and what it delivers, scheme by scheme."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from edged import parts
from edged.config import Config
from edged.core.errors import CameraError
from edged.core.findings import Finding, ok, problem, trouble, unavailable, warning
from edged.core.sight import SENTENCES
from edged.doctor.subject import Subject
from edged.edges import camera_trial, ownership, processes
from edged.edges.camera_rtsp_question import NO_PICTURE, ask
from edged.edges.camera_trial import Trial
from edged.edges.processes import Process

ADVICE = "`edged cameras` lists the cameras of this machine, docs/cameras.md says more"
SLACK = 0.8
"""Drivers and light take their share of a rate; below this part of it it is worth a word."""
ASK_S = 5.0
IN_USE = "in use by the service"


def camera(subject: Subject, config: Config) -> Finding:
    """Whether the camera can be used; opened only where nobody uses it."""
    scheme = config.camera.scheme
    if scheme == "v4l2":
        found = _holder(subject, config)
        if found is not None:
            return found
    elif subject.unit is not None and subject.unit.is_running and scheme != "file":
        # A second viewer may be one too many for a network camera; a CSI camera has room for one alone.
        return _beside_the_service(subject, config)
    return _tried(subject, config)


def _holder(subject: Subject, config: Config) -> Finding | None:
    """What the holders of a device mean; None where it may be tried."""
    held = processes.holders(config.camera.path, subject.root)
    own = [one for one in held.processes if subject.unit is not None and one.unit == subject.unit.name]
    others = [one for one in held.processes if one not in own]
    if others:
        return problem(
            "camera",
            f"in use by {_named(others)}",
            "end that program, or give it another camera: a camera serves one at a time",
        )
    if own:
        return ok("camera", IN_USE)
    if not held.is_complete and subject.unit is not None and subject.unit.is_running:
        return ok("camera", "the service runs and has it, as far as this user can see (with sudo: for certain)")
    return None


def _named(those: Sequence[Process]) -> str:
    return ", ".join(f"{one.unit or one.name} (process {one.pid})" for one in those)


def _beside_the_service(subject: Subject, config: Config) -> Finding:
    if config.camera.scheme == "picamera2":
        return ok("camera", f"{IN_USE}, as long as that runs; the line device has what it says of it")
    password = config.camera_password()
    username = config.camera.username
    login = None if username is None or password is None else (username, password)
    answer = ask(config.camera.source, login, ASK_S, subject.clock)
    if answer == NO_PICTURE:  # what it says of a stream that is there
        return ok("camera", f"{_place(config)} answers and offers video; its stream is {IN_USE}")
    return trouble("camera", answer, ADVICE)


def _tried(subject: Subject, config: Config) -> Finding:
    stop = threading.Event()
    source = parts.source(config, subject.clock, stop)
    table = config.camera
    count = 1 if table.scheme == "file" else camera_trial.PICTURES
    try:
        trial = camera_trial.look(source, subject.clock, table.privacy_masks, table.rotate_deg, count)
    except CameraError as error:
        if error.text.startswith("no permission") and subject.is_service and not ownership.is_root():
            return unavailable("camera", "this user may not open it; the service may", "run it with sudo")
        # Network cameras have a semicolon in their sentences, and the others a colon.
        mark = "; " if "; " in error.text else ": "
        return trouble("camera", error.text, ADVICE, mark)
    finally:
        stop.set()
    return _judged(config, trial)


def _judged(config: Config, trial: Trial) -> Finding:
    """What a look through the camera means beside what the configuration asks for."""
    table, made = config.camera, trial.format
    told = f"{_place(config)} delivers {made.width_px}x{made.height_px} {made.encoding}"
    if table.scheme == "file":
        return ok("camera", f"{told} (a file played as a camera)")
    if trial.rate_hz is not None:
        told += f", {trial.rate_hz:.0f} pictures a second"
    if trial.bare is not None:
        what, _, todo = SENTENCES[trial.bare].partition(": ")
        return warning("camera", f"{told}; {what}", todo)
    if trial.rate_hz is not None and trial.rate_hz < SLACK * table.fps:
        return warning(
            "camera",
            f"{told}, and {table.fps:g} are asked for",
            "more light, a smaller picture or a lower [camera] fps; `edged cameras` lists the rates",
        )
    if table.scheme in ("v4l2", "picamera2") and (made.width_px, made.height_px) != (table.width_px, table.height_px):
        return warning(
            "camera",
            f"{told}; {table.width_px}x{table.height_px} is asked for",
            "set width_px and height_px to a size that `edged cameras` lists",
        )
    return ok("camera", told)


def _place(config: Config) -> str:
    """The camera as it may be shown: an address without its path, in which some cameras have a password."""
    table = config.camera
    if table.scheme not in ("rtsp", "rtsps"):
        return table.source
    return f"{table.scheme}://{urlsplit(table.source).hostname}"
