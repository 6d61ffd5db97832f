"""The versions of a device's model, as the running daemon deals with them. Part of the composition root.

Law: everything here but `Stock.changed` takes time and is an errand. What is on the disk goes before what happens: a
version is on probation there before it judges its first frame.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edged.beginning import RECORD
from edged.config import Config, resolve
from edged.core import activation
from edged.core.activation import Limits, Record
from edged.core.errors import ModelError, RunError
from edged.core.stats import Ring
from edged.core.types import ModelSpec, Region
from edged.duties.succession import Choices
from edged.edges import board
from edged.edges.state_folder import StateFolder
from edged.edges.tflite import Interpreter, TfliteClassifier, median_invoke_ms
from edged.keeping import Keeper
from edged.models import check_rules
from edged.modelstore import Package, remembered
from edged.modelstore import load as load_package
from edged.modelstore.package import MODEL
from edged.modelstore.store import AT, versions
from edged.ports import Clock
from edged.proving import fit, prove
from edged.tuning import choose_threads
from edged.vitals import Vitals

TIMED_INVOKES = 11
LOAD_SHARE = 2.0
"""Of a model's file: what it takes in memory, with the weights as XNNPACK packs them and the arena."""
SLACK = 1.5
"""A board on which the running model does not reach the frame rate either takes one that is so much slower."""


@dataclass(frozen=True)
class Occupant:
    """A model that judges or could: everything that belongs to it.

    Attributes:
        threads: of the interpreter.
        limits: what it is held to on probation.
    """

    package: Package
    interpreter: Interpreter
    spec: ModelSpec
    regions: tuple[Region, ...]
    threads: int
    classifier: TfliteClassifier
    limits: Limits


def limits(config: Config, regions: int, slowest_ms: float | None) -> Limits:
    """What a version is held to: what the configuration says, else what the frame rate leaves to each region.

    Args:
        slowest_ms: what an invoke of the version before takes, but for one in twenty; None where it is not known.
    """
    table = config.model
    if table.budget_ms is not None:
        return Limits(table.probation_s, table.budget_ms)
    frame_ms = 1000.0 / config.camera.fps / max(1, regions)
    return Limits(table.probation_s, max(frame_ms, SLACK * (slowest_ms or 0.0)))


class Stock:
    """The store, for one device.

    Args:
        root: the state root; the device's own folder is in it.
        name: of the model.
        wanted: the labels that the rules ask for.
        invoke_ms: gets the wall time of each invoke of whichever model judges.
    """

    def __init__(
        self,
        config: Config,
        root: Path,
        name: str,
        wanted: Sequence[str],
        invoke_ms: Ring,
        vitals: Vitals,
        clock: Clock,
    ) -> None:
        self._config, self._root, self._name, self._wanted = config, root, name, tuple(wanted)
        self._invoke_ms, self._vitals, self._clock = invoke_ms, vitals, clock
        self._store, self._folder = root / "models", StateFolder(root / config.device.name)
        self._seen: object = None
        self._writing, self._ends = threading.Lock(), threading.Event()

    def changed(self) -> bool:
        """Whether anything happened in the store since this was asked last: a name in it is new or gone."""
        seen = tuple(_stamp(path) for path in (self._store, self._store / remembered.FILE_NAME))
        changed, self._seen = seen != self._seen, seen
        return changed

    def look(self) -> Choices:
        """What there is.

        Raises:
            ModelError: nothing may be used.
        """
        keeper = self._keeper()
        choice = remembered.read(self._store).get(self._name)
        there = choice is not None and choice.version in versions(self._name, keeper.folders)
        return Choices(choice.version if choice is not None and there else None, keeper.newest(self._name))

    def prepare(self, version: str, running: str, slowest_ms: float | None) -> Occupant:
        """A version that works here, fits the rules, is fast and small enough, and is chosen and on probation.

        Raises:
            ModelError: it is refused, and nothing has changed.
        """
        keeper = self._keeper()
        standing = keeper.standing(self._name)
        folder = keeper.judged(f"{self._name}{AT}{version}")
        self._check_room(folder)
        with contextlib.ExitStack() as failing:
            occupant = self._load(folder, slowest_ms, failing)
            self._commit(keeper, version, running, standing)
            failing.pop_all()
        return occupant

    def _load(self, folder: Path, slowest_ms: float | None, failing: contextlib.ExitStack) -> Occupant:
        package = load_package(folder)
        check_rules(self._config, package)
        try:
            prove(package, self._root)
            interpreter, threads = self._open(package)
        except MemoryError:
            raise ModelError("there is not enough memory for it beside the one that runs") from None
        except RunError as error:
            raise ModelError(str(error)) from None
        failing.callback(interpreter.close)
        spec = fit(package, interpreter.input, interpreter.outputs)
        regions, _ = resolve(self._config, spec)
        held_to = limits(self._config, len(regions), slowest_ms)
        invoke_ms = median_invoke_ms(interpreter, TIMED_INVOKES)
        if invoke_ms > held_to.p95_ms:
            raise ModelError(
                f"an invoke takes {invoke_ms:.3g} ms on this board, and there are {held_to.p95_ms:.3g} ms for one"
            )
        if (trouble := self._vitals.memory_trouble()) is not None:
            raise ModelError(trouble)
        classifier = TfliteClassifier(interpreter, spec, self._wanted, self._invoke_ms, package.scores_output)
        return Occupant(package, interpreter, spec, regions, threads, classifier, held_to)

    def _open(self, package: Package) -> tuple[Interpreter, int]:
        """With the threads that it shall have."""
        interpreter, threads = Interpreter(package.model_path, 1), self._config.model.threads
        if threads is None:
            fps = self._config.camera.fps
            threads = choose_threads(package, interpreter, fps, StateFolder(self._root), is_quiet=False)
        if threads != 1:
            interpreter.close()
            interpreter = Interpreter(package.model_path, threads)
        return interpreter, threads

    def _check_room(self, folder: Path) -> None:
        """Both models are in memory until the probation is over."""
        try:
            needed_mb = LOAD_SHARE * (folder / MODEL).stat().st_size / 1e6
        except OSError as error:
            raise ModelError(f"{folder / MODEL}: cannot be read ({error.strerror})") from None
        trouble = self._vitals.memory_trouble(needed_mb)
        free_mb = board.available_mb()
        if trouble is None and free_mb is not None and free_mb < needed_mb:
            trouble = f"it needs about {needed_mb:.0f} MB of memory, and the board has {free_mb:.0f} MB left"
        if trouble is not None:
            raise ModelError(trouble)

    def _commit(self, keeper: Keeper, version: str, running: str, standing: str | None) -> None:
        now = self._clock.label(self._clock.monotonic())
        with self._written():
            before = self._folder.read(RECORD)
            record = Record("probation", self._name, version, running, None, now)
            if not self._folder.write(RECORD, record.as_json()):
                raise ModelError("the state folder cannot be written, so there would be no way back; make room there")
            try:
                keeper.choose(self._name, version, running=running, instead_of=standing, ends=self._ends)
            except (OSError, ModelError) as error:
                self._folder.write(RECORD, before)
                if isinstance(error, ModelError):
                    raise
                raise ModelError(f"the model store cannot be written ({error.strerror})") from None

    def keep(self, record: Record) -> None:
        """Writes down how things stand. A version that settled is accepted: from now on none that is older."""
        with self._written():
            self._folder.write(RECORD, record.as_json())
        if record.phase == "settled":
            keeper = self._keeper()
            with contextlib.suppress(ModelError, OSError):
                keeper.trust.accept(versions(self._name, keeper.folders)[record.version])

    def put_back(self, record: Record) -> Record:
        """Writes down a failure, then has the name stand for the version that runs, unless another was chosen."""
        with self._written():
            self._folder.write(RECORD, record.as_json())
            try:
                self._keeper().choose(self._name, record.base, instead_of=record.version, ends=self._ends)
            except ModelError:
                pass  # somebody chose another one: that is followed
            except OSError as error:
                raise ModelError(
                    f"the model store cannot be written ({error.strerror}): {self._name} {record.version} stays "
                    f"chosen, and {record.base} runs all the same"
                ) from None
            record = replace(record, is_put_back=True)
            self._folder.write(RECORD, record.as_json())
        return record

    def leave(self) -> None:
        """The process ends by itself: a version that is on probation may try again."""
        self._ends.set()  # who waits for another process to be done with the store gives up now
        with self._writing:
            record = activation.read(self._folder.read(RECORD))
            if record is not None and record.phase == "probation":
                self._folder.write(RECORD, replace(record, is_left=True).as_json())

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        with self._writing:
            if self._ends.is_set():
                raise ModelError("the process ends")
            yield

    def _keeper(self) -> Keeper:
        return Keeper(self._config, self._root)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - once a second, in the loop
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
