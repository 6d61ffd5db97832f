"""The composition root: a Config in, a running device out.

Law: only this room (`app.py`, `device.py`, `bench.py`, `demo.py`) knows every other. It builds and never decides; what
it builds gets plain values by name and never sees a Config.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np

from edged import trusted
from edged.config import Config, resolve
from edged.core import last_exit
from edged.core.errors import ConfigError, EdgedError, ModelError, RunError
from edged.core.labels import fit_model
from edged.core.settings import Settings
from edged.core.stats import Ring
from edged.core.threads import fewest_threads
from edged.core.types import FULL, Frame, ModelSpec, Region
from edged.device import Device, Fitted, Report
from edged.edges import board, camera_file, memory, systemd
from edged.edges.pixels import geometry
from edged.edges.state_folder import StateFolder, state_root, whose_state
from edged.edges.tflite import RUNTIME, Interpreter, TfliteClassifier, median_invoke_ms
from edged.modelstore import Package, Trust, bundled, find
from edged.modelstore import load as load_package

TUNING_INVOKES = 5

__all__ = [
    "choose_threads",
    "fit",
    "open_model",
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


def model_folders(root: Path) -> tuple[Path, ...]:
    """Where models are looked for: the store, then what ships."""
    return (root / "models", bundled())


def open_model(
    name: str, threads: int, root: Path | None = None, trust: Trust | None = None
) -> tuple[Package, Interpreter, ModelSpec]:
    """Finds, judges, verifies, loads and fits a model.

    Args:
        trust: which models may be used; left out: all.

    Raises:
        ModelError: one sentence.
    """
    judge = trust.judge if trust is not None else None
    package = load_package(find(name, model_folders(root or state_root()), judge))
    interpreter = Interpreter(package.model_path, threads)
    needed = max(package.scores_output, package.embedding_output or 0) + 1
    if len(interpreter.outputs) < needed:
        raise ModelError(
            f"model {package.name}: its manifest speaks of {needed} outputs and model.tflite has "
            f"{len(interpreter.outputs)}; correct [embedding]"
        )
    output = interpreter.outputs[package.scores_output]
    spec = fit_model(
        package.name,
        package.version,
        package.sha256,
        package.labels,
        package.groups,
        package.input,
        package.activation,
        package.background,
        interpreter.input,
        output,
    )
    return package, interpreter, spec


def fit(config: Config, root: Path | None = None) -> Fitted:
    """Everything that can be known before the start: the model, the rules on it, and a clip that is there.

    Raises:
        ConfigError, ModelError: exit code 78.
    """
    trust = trusted.trust(config, root or state_root())
    package, interpreter, spec = open_model(config.model.name, 1, root, trust)
    if (warning := trust.warning(package.folder)) is not None:
        log.warning("%s", warning)
    regions, rules = resolve(config, spec)
    trouble = camera_file.probe(config.camera.path) if config.camera.scheme == "file" else None
    if trouble is not None:
        raise ConfigError(config.problem(("camera", "source"), trouble))
    return Fitted(package, interpreter, spec, regions, rules)


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
        scores = classifier.scores(Frame(camera_file.read_picture(file), 0.0), region)
        return [(wanted[index], float(scores[index])) for index in np.argsort(-scores, kind="stable")[:top]]

    return classify


def settings(config: Config, fitted: Fitted) -> Settings:
    """The settings as a run would find them: what was set while running, where the file has not changed since."""
    return Settings.load(StateFolder(state_root() / config.device.name).read("settings.json"), fitted.rules)


def seen_share(spec: ModelSpec, region: Region, frame_px: tuple[int, int], rotate_deg: int) -> float:
    """What part of a region's area the model gets to see, 0..1: less than all of it where the fit crops."""
    width_px, height_px = frame_px if rotate_deg in (0, 180) else frame_px[::-1]
    box = region.box.pixels(width_px, height_px)
    (left, top, right, bottom), _ = geometry(box, region.fit, spec.input_size)
    return (right - left) * (bottom - top) / ((box[2] - box[0]) * (box[3] - box[1]))


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
            restart or stop.set,
            last_exit=last,
            print_events=print_events,
        )
        try:
            device.run(on_turn)
        except ModelError as error:
            # It could be used at the start: a new process may well work, so this is no exit code 78.
            raise RunError(str(error)) from error
    except BaseException as error:
        reason = str(error) if isinstance(error, EdgedError) else type(error).__name__
        folder.write("last_exit.json", {"code": 1, "reason": reason})
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


def times_key(sha256: str) -> str:
    """Under what the times of a model are kept: they hold for this runtime and this board."""
    return f"{sha256[:16]} {RUNTIME} {board.model_name()}"


def times_ms(kept: object) -> dict[int, float]:
    """What the file says of a model, by threads; an entry that makes no sense is measured again."""
    entries = kept.items() if isinstance(kept, dict) else ()
    return {
        int(threads): float(ms)
        for threads, ms in entries
        if str(threads).isdecimal() and isinstance(ms, int | float) and 0 < ms < math.inf
    }


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


def choose_threads(package: Package, single: Interpreter, fps: float, folder: StateFolder, again: bool = False) -> int:
    """The fewest threads that reach `fps` with this model, runtime and board; measured once and kept.

    Args:
        single: the model with one thread, for the first measurement.
        folder: the state root; what is measured does not depend on the device.
        again: forget what was measured before.
    """
    key = times_key(package.sha256)
    kept = folder.read("threads.json")
    known = {} if again else times_ms(kept.get(key))

    def measure(threads: int) -> float:
        interpreter = single if threads == 1 else Interpreter(package.model_path, threads)
        return median_invoke_ms(interpreter, TUNING_INVOKES)

    threads, measured_ms = fewest_threads(1000.0 / fps, board.cores(), known, measure)
    if measured_ms != known:
        folder.write("threads.json", {**kept, key: {str(count): round(ms, 3) for count, ms in measured_ms.items()}})
        log.info(
            "threads = %d: %s ms an invoke by threads", threads, {n: round(ms, 2) for n, ms in measured_ms.items()}
        )
    return threads
