"""Another version of the model takes over while the daemon runs, and leaves again where it does not do well.

Law: what takes time (hashing, loading, trying, writing) is an errand beside the loop; here it is only decided, by
`core.activation`, and said. Whoever wants another version, the command line, a request or Home Assistant: it is
prepared and watched in one way.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Generic

from edged.core import commands, wire
from edged.core.activation import FAILED, Activation, Limits, Record
from edged.core.commands import Install, Refusal, UseModel
from edged.core.errors import EdgedError
from edged.core.last_exit import told
from edged.core.problems import Problems
from edged.core.types import WallTime
from edged.duties.publisher import MqttPublisher
from edged.duties.succession import Choices, Errands, P, Seat, Store
from edged.ports import Clock

PERIOD_S = 1.0
UNTOLD = "the model could not be used"

log = logging.getLogger("edged.model")


class Activations(Generic[P]):
    """Done a little at each turn.

    Args:
        activation: how things stand at the start.
        limits: of the version that runs, should it be on probation.
        describe: has the description of the device, and that for Home Assistant, made and retained anew.
        restart: begins a clean end after which the process starts again.
        fixed: why there is nothing to choose from; None where there is.
    """

    def __init__(
        self,
        activation: Activation,
        store: Store[P],
        seat: Seat[P],
        errands: Errands,
        clock: Clock,
        topics: wire.Topics,
        publisher: MqttPublisher,
        problems: Problems,
        *,
        limits: Limits,
        describe: Callable[[], object],
        restart: Callable[[], object],
        fixed: str | None = None,
    ) -> None:
        self._activation, self._store, self._seat, self._errands = activation, store, seat, errands
        self._clock, self._topics, self._publisher, self._problems = clock, topics, publisher, problems
        self._limits, self._describe, self._restart, self._fixed = limits, describe, restart, fixed
        self._choices = Choices(None, activation.record.running)
        self._asked: UseModel | Install | None = None
        self._at_s = clock.monotonic()

    @property
    def record(self) -> Record:
        """How things stand."""
        return self._activation.record

    def start(self) -> None:
        """Has the update retained; goes on with what the process before left."""
        record = self.record
        if record.phase == "probation":
            self._activation.resume(self._limits, self._clock.monotonic())
            log.info("model %s %s is on probation", record.name, record.version)
        elif record.phase in FAILED and not record.is_put_back:
            self._complain()
            self._put_back()
        self._say()

    def turn(self) -> None:
        """Takes what is finished, watches who is on probation, and looks at the store now and then."""
        self._errands.turn()
        now_s = self._clock.monotonic()
        if now_s < self._at_s:
            return
        self._at_s = now_s + PERIOD_S
        if self.record.phase == "probation":
            self._watch(now_s)
        if self._fixed is None and self._store.changed():
            self._look()
        self._follow()

    def ask(self, what: UseModel | Install) -> Refusal | None:
        """Somebody wants another version. The answer comes when it has taken over or is refused; a refusal at once."""
        error = self._objection(what)
        version = None if isinstance(what, Install) else what.version
        version = version or self._choices.newest
        if error is None and version == self.record.running:
            error = f"expected another version than the one that runs, found {version}; nothing is to be done"
        if error is not None:
            return commands.refused(what, error)
        self._prepare(version, what)
        return None

    def fault(self, reason: str) -> bool:
        """The model that judges failed; whether another one judges by now."""
        return self.record.phase == "probation" and self._roll_back(told(reason, UNTOLD))

    def close(self) -> None:
        """The process ends by itself: that says nothing about a version on probation."""
        self._errands.end(PERIOD_S)
        self._store.leave()

    def _objection(self, what: UseModel | Install) -> str | None:
        record = self.record
        if self._fixed is not None:
            return self._fixed
        if isinstance(what, UseModel) and what.name != record.name:
            return f"expected the model of the configuration, {record.name}, found {what.name}; change [model] name"
        if record.phase in ("preparing", "probation"):
            return f"expected a model that is settled, found version {record.version} being tried; ask again later"
        return None

    def _follow(self) -> None:
        """Does what the store's choice asks for."""
        version = self._activation.wanted(self._choices.chosen)
        if version is None or not self._errands.idle:
            return
        if self.record.phase != "probation":
            self._prepare(version, None)
        elif self._seat.give_back():
            log.info("model %s %s is no longer wanted", self.record.name, self.record.version)
            self._activation.settle(self.record.base, self._now())
            self._finish(self._keep)
        else:
            self._restart()  # the one before is not at hand: a start finds what is to run

    def _prepare(self, version: str, asked: UseModel | Install | None) -> None:
        running = self.record.running
        log.info("model %s %s is to take over from %s", self.record.name, version, running)
        self._activation.prepare(version, self._now())
        self._asked = asked
        work = functools.partial(self._store.prepare, version, running, self._seat.slowest_ms())
        self._errands.add("model", work, self._prepared)
        self._say()

    def _prepared(self, found: P | EdgedError) -> None:
        record, asked, self._asked = self.record, self._asked, None
        if isinstance(found, EdgedError):
            log.warning("model %s %s is refused: %s", record.name, record.version, found)
            self._activation.refused(told(str(found), UNTOLD), self._now())
            self._answer(asked, self.record.reason)
            self._finish(self._put_back)
            return
        self._seat.take(found)
        self._choices = Choices(record.version, self._choices.newest)
        self._activation.prepared(found.limits, self._clock.monotonic(), self._now())
        log.info("model %s %s judges now, on probation", record.name, record.version)
        self._answer(asked, None)
        self._finish(lambda: None)

    def _answer(self, asked: UseModel | Install | None, error: str | None) -> None:
        if asked is None or (isinstance(asked, Install) and error is None):
            return
        record = self.record
        data = {"name": record.name, "version": record.version, "previous": record.previous}
        to = asked if error is None else commands.refused(asked, error)
        self._publisher.answer(commands.response(self._topics, to, data if error is None else None))

    def _watch(self, now_s: float) -> None:
        signs = self._seat.signs()
        reason = self._activation.judge(signs, now_s)
        if reason is not None:
            if not self._roll_back(reason):
                self._restart()
        elif self._activation.has_stood(signs):
            log.info("model %s %s has stood its probation", self.record.name, self.record.version)
            self._activation.settle(self.record.version, self._now())
            self._finish(self._keep)

    def _roll_back(self, reason: str) -> bool:
        """False where the version before is not at hand: then a new process has to do it."""
        record = self.record
        log.warning("model %s %s is rolled back to %s: %s", record.name, record.version, record.previous, reason)
        is_back = self._seat.give_back()
        self._activation.roll_back(reason, self._now())
        if is_back:
            self._finish(self._put_back)
        else:
            self._store.keep(self.record)
        return is_back

    def _finish(self, write: Callable[[], object]) -> None:
        """After every change: what is on the disk, what is said, what is let go of."""
        self._complain()
        write()
        if self.record.phase != "probation":
            self._errands.add("model", self._seat.clear, lambda _: None)
        self._say()

    def _keep(self) -> None:
        self._errands.add("model", functools.partial(self._store.keep, self.record), self._kept)

    def _put_back(self) -> None:
        self._errands.add("model", functools.partial(self._store.put_back, self.record), self._kept)

    def _kept(self, found: Record | EdgedError | None) -> None:
        if isinstance(found, EdgedError):
            log.warning("%s", found)
        elif found is not None and found.is_put_back:
            # What the store's choice is now is not known here: somebody may have made another one meanwhile.
            self._choices = Choices(None, self._choices.newest)
            self._activation.put_back()
            self._look()

    def _look(self) -> None:
        self._errands.add("model store", self._store.look, self._looked)

    def _complain(self) -> None:
        record, now_s = self.record, self._clock.monotonic()
        text = f"model {record.name} {record.version} is not used, {record.previous} is: {record.reason}"
        self._problems.set("model_refused", text if record.phase == "refused" else None, now_s)
        self._problems.set("model_rolled_back", text if record.phase == "rolled_back" else None, now_s)

    def _looked(self, found: Choices | EdgedError) -> None:
        if isinstance(found, EdgedError):
            log.warning("the model store cannot be looked at: %s", found)
            return
        changed, self._choices = found.newest != self._choices.newest, found
        if changed:
            self._say()

    def _say(self) -> None:
        self._publisher.retain(wire.update(self._topics, self.record, self._choices.newest))
        self._describe()

    def _now(self) -> WallTime:
        return self._clock.label(self._clock.monotonic())
