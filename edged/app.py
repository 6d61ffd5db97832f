"""The composition root: a Config in, a running device out.

Law: only this room (`app.py`, `device.py`, `bench.py`, `demo.py`) knows every other. It builds and never decides; what
it builds gets plain values by name and never sees a Config.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np

from edged import trusted
from edged.config import Config
from edged.core import last_exit
from edged.core.errors import ModelError, RunError
from edged.core.settings import Settings
from edged.core.stats import Ring
from edged.core.types import FULL, Frame, Region
from edged.device import Device
from edged.edges import memory, systemd
from edged.edges.camera_file_stills import read_still
from edged.edges.state_folder import StateFolder, state_root, whose_state
from edged.edges.tflite import Interpreter, TfliteClassifier
from edged.fitness import fit, load, picture_px, seen_share
from edged.fitted import Fitted, Report
from edged.models import model_folders, open_model
from edged.tuning import choose_threads, times_key, times_ms

__all__ = [
    "choose_threads",
    "fit",
    "load",
    "model_folders",
    "open_model",
    "picture_px",
    "run",
    "seen_share",
    "settings",
    "still_classifier",
    "stop_on_signals",
    "times_key",
    "times_ms",
    "whose_state",
]

log = logging.getLogger("edged")


def still_classifier(name: str) -> Callable[[Path, int], list[tuple[str, float]]]:
    """A function from a picture file and a count to its best labels and label groups with their scores.

    The picture goes the way of a frame: the manifest's fit, the loop's own preprocessing. The background class is
    never among the labels.

    Raises:
        ModelError: at once; the function itself raises CameraError for a file that is no picture.
    """
    package, interpreter, spec = open_model(name, 1)
    background = None if spec.background is None else spec.labels[spec.background]
    wanted = tuple(dict.fromkeys(label for label in (*spec.groups, *spec.labels) if label != background))
    classifier = TfliteClassifier(interpreter, spec, wanted, Ring(1), package.scores_output)
    region = Region("full", FULL, spec.input.fit)

    def classify(file: Path, top: int) -> list[tuple[str, float]]:
        scores = classifier.scores(Frame(read_still(file), 0.0), region)
        return [(wanted[index], float(scores[index])) for index in np.argsort(-scores, kind="stable")[:top]]

    return classify


def settings(config: Config, fitted: Fitted) -> Settings:
    """The settings as a run would find them: what was set while running, where the file has not changed since."""
    return Settings.load(StateFolder(state_root() / config.device.name).read("settings.json"), fitted.rules)


def run(
    config: Config,
    fitted: Fitted,
    stop: threading.Event,
    *,
    root: Path | None = None,
    print_events: bool = False,
    on_turn: Callable[[Report], None] | None = None,
    restart: Callable[[], None] | None = None,
) -> Report:
    """Runs the device until `stop` is set or its clip is over, and tells the broker that it ends.

    Args:
        root: the state root, `state_root()` where it is left out.
        print_events: every event as one JSON line on stdout, too.
        on_turn: called after each turn of the loop.
        restart: has `stop` set and the process started again afterwards; left out, a restart is an end.

    Raises:
        EdgedError: what only a new process can mend; the reason is in `D/info` after the restart.
    """
    memory.forbid_core_dumps()
    root = root or state_root()
    folder = StateFolder(root / config.device.name)
    if fitted.record is None or fitted.record.phase != "probation":
        trusted.accept(config, root, fitted.package.folder)
    kept = last_exit.read(folder.read("last_exit.json"))
    last = last_exit.refined(kept, systemd.last_result(), systemd.watchdog_s())
    if last is not None and last["code"] != 0:
        log.warning("the last run ended: %s", last["reason"])
    folder.write("last_exit.json", last_exit.OPEN)
    try:
        interpreter, threads = _interpreter(config, fitted, StateFolder(root))
        device = Device(
            config,
            fitted,
            interpreter,
            threads,
            StateFolder(root),
            stop,
            restart,
            last_exit=last,
            print_events=print_events,
        )
        try:
            device.run(on_turn)
        except ModelError as error:
            # It could be used at the start: a new process may well work, so this is no exit code 78.
            raise RunError(str(error)) from error
    except BaseException as error:
        folder.write("last_exit.json", {"code": 1, "reason": last_exit.reason(error)})
        raise
    folder.write("last_exit.json", {"code": 0, "reason": "stopped"})
    return device.report()


def _interpreter(config: Config, fitted: Fitted, root: StateFolder) -> tuple[Interpreter, int]:
    """The model with as many threads as it shall have, and how many those are; never two of them in memory."""
    threads = config.model.threads
    if threads is None:
        threads = choose_threads(fitted.package, fitted.interpreter, config.camera.fps, root)
    if threads == 1:
        return fitted.interpreter, threads
    fitted.interpreter.close()
    return Interpreter(fitted.package.model_path, threads), threads


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`; a second SIGINT interrupts as usual."""
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        # Before set(): that takes a lock, and a second signal in the middle of it would wait for itself for ever.
        asked = True
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
