"""One device: the objects of a run, built from a Config and joined by the loop. Part of the composition root."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edged import activating, loop, parts
from edged.config import Config
from edged.core import leftovers, wire
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.ratelimit import Inbox
from edged.core.settings import Settings
from edged.core.stats import Ring
from edged.core.trigger import Decider
from edged.core.types import Message
from edged.duties.activation import Activations
from edged.duties.checkup import Checkup
from edged.duties.classifier import ChangingClassifier
from edged.duties.control import Control
from edged.duties.leftovers import Leftovers
from edged.duties.namesake import Namesake
from edged.duties.pause import PausableCamera
from edged.duties.publisher import MqttPublisher
from edged.duties.status import Status
from edged.duties.turns import Turns
from edged.duties.upkeep import Upkeep
from edged.edges import board, memory
from edged.edges.clock import ClipClock, SystemClock
from edged.edges.state_folder import StateFolder
from edged.edges.systemd import Systemd
from edged.edges.tflite import RUNTIME, Interpreter, TfliteClassifier
from edged.fitted import Fitted, Report
from edged.ports import Disconnected, Received
from edged.printing import EventPrinter
from edged.stock import Occupant
from edged.vitals import Vitals

TURN_S = 0.25
"""The longest turn of the loop: how late a stop, an acknowledgement or a heartbeat can be without a picture."""
DRAIN_S = 5.0
INVOKE_SAMPLES = 600

log = logging.getLogger("edged")


class Device:
    """The objects of one run.

    Args:
        interpreter: the model with as many threads as it shall have; used by this object alone.
        threads: how many those are.
        root: the state root; the device's own folder is in it.
        stop: ends the run when it is set.
        restart: begins a clean end after which the process starts again; None where nobody would start it.

    Raises:
        ConfigError: the outbox is from a newer edged.
    """

    def __init__(
        self,
        config: Config,
        fitted: Fitted,
        interpreter: Interpreter,
        threads: int,
        root: StateFolder,
        stop: threading.Event,
        restart: Callable[[], None] | None,
        *,
        last_exit: Mapping[str, Any] | None,
        print_events: bool,
    ) -> None:
        self._config, self._fitted, self._stop = config, fitted, stop
        self._restart, self._restarting = restart, False
        self.clock: SystemClock = ClipClock() if config.camera.pace == "max" else SystemClock()
        self.invoke_ms, self.problems = Ring(INVOKE_SAMPLES), Problems()
        self.topics = wire.Topics(config.mqtt.topic_prefix, config.device.name)
        self.pipeline = Pipeline(self.clock.monotonic())
        self.camera = parts.camera(config, fitted.regions, fitted.spec.input_size, self.clock, stop)
        self.wanted = tuple(dict.fromkeys(rule.label for rule in fitted.rules))
        judge = TfliteClassifier(interpreter, fitted.spec, self.wanted, self.invoke_ms, fitted.package.scores_output)
        self.classifier = ChangingClassifier(judge, fitted.regions)
        self.activation = activating.standing(fitted, self.clock)
        self.decider = Decider(fitted.rules, self.wanted)
        self.gate = parts.gate(config, fitted.regions, self.decider)
        folder = root.inner(config.device.name)
        stored = EventPrinter(self.topics).stored if print_events else None
        self.outbox = parts.outbox(config, folder, self.clock, fitted.spec, stored)
        settings = Settings.load(folder.read("settings.json"), fitted.rules)
        self.inbox = Inbox(self.topics, [rule.name for rule in fitted.rules])
        self.vitals = vitals = self._vitals(threads, folder.path)

        def describe() -> Message:
            return vitals.info(last_exit, self.activation.record, settings.rules(), settings.sources())

        announced = parts.Announced(config, self.topics, fitted.rules, root)
        self.publisher = self._publisher(describe(), vitals, leftovers.signs(announced.stale, self.topics))
        self.activations = self._activations(interpreter, threads, judge, root.path, describe)
        self.control = Control(
            self.clock,
            self.topics,
            settings,
            self.decider,
            self.pipeline,
            self.outbox,
            self.publisher,
            self.inbox,
            describe=describe,
            keep=lambda kept: folder.write("settings.json", kept),
            restart=self._begin_restart,
            change_model=self.activations.ask,
        )
        self._build_watchers(announced, describe)
        self._tell_of_the_start(interpreter)

    def run(self, on_turn: Callable[[Report], None] | None) -> None:
        """Runs the loop, then says what remains to be said."""
        self._wire()
        memory.give_back_after_start()  # the duties may begin an errand, in a thread
        systemd = Systemd(self.clock)
        status = Status(self.pipeline, systemd.status)
        turns = self._turns(systemd.beat, status.turn, on_turn)
        self.outbox.close_open()
        self.vitals.begin()
        self.control.start()
        self.publisher.start()
        systemd.ready()
        status.turn()
        try:
            loop.run(
                PausableCamera(
                    parts.discerning(self._config, self.camera), self.control.paused, self.clock, self._stop
                ),
                self.gate,
                self.classifier,
                self.decider,
                self.pipeline,
                self.outbox,
                self.publisher,
                Turns(turns),
                self._stop,
                TURN_S,
            )
            if not self._restarting:
                systemd.stopping()
            status.turn()
            self.publisher.close(DRAIN_S)
            if self._restarting:
                systemd.restarting()
            self.activations.close()
        finally:
            self.outbox.close()

    def _turns(
        self, beat: Callable[[], None], tell: Callable[[], None], on_turn: Callable[[Report], None] | None
    ) -> list[Callable[[], None]]:
        turns = [beat, tell, self.control.turn, self.namesake.turn, self.leftovers.turn]
        turns += [self.upkeep.turn, self.checkup.turn, self.activations.turn]
        if self.announcement is not None:
            turns.append(self.announcement.turn)
            self.announcement.start()
        self.activations.start()
        if on_turn is not None:
            turns.append(lambda: on_turn(self.report()))
        return turns

    def _begin_restart(self) -> None:
        self._restarting = self._restart is not None
        (self._restart or self._stop.set)()

    def report(self) -> Report:
        """What the run has come to so far."""
        return Report(
            frames=self.camera.taken,
            dropped=self.camera.dropped,
            events=self.outbox.numbered,
            acknowledged=self.outbox.acknowledged,
            invoke_ms=self.invoke_ms,
        )

    def _vitals(self, threads: int, folder: Path) -> Vitals:
        return Vitals(
            self._config,
            self.topics,
            self._fitted.spec,
            threads,
            self.clock,
            self.camera,
            self.classifier,
            self.outbox,
            self.problems,
            self.invoke_ms,
            self.inbox,
            folder,
        )

    def _activations(
        self,
        interpreter: Interpreter,
        threads: int,
        judge: TfliteClassifier,
        root: Path,
        describe: Callable[[], Message],
    ) -> Activations[Occupant]:
        def describe_anew() -> None:
            self.publisher.retain(describe())
            if self.announcement is not None:
                self.announcement.start()

        return activating.activations(
            self._config,
            root,
            self.activation,
            activating.occupant(self._config, self._fitted, interpreter, threads, judge, root),
            self.wanted,
            self.classifier,
            self.camera,
            self.outbox,
            self.vitals,
            self.pipeline,
            self.invoke_ms,
            self.clock,
            self.topics,
            self.publisher,
            self.problems,
            check=self._tell_of_speed,
            describe=describe_anew,
            restart=self._begin_restart,
        )

    def _tell_of_speed(self, interpreter: Interpreter) -> None:
        text = f"XNNPACK is not active in {RUNTIME}: inference is several times slower than it could be"
        if self.problems.set("xnnpack_inactive", None if interpreter.xnnpack else text, self.clock.monotonic()):
            log.warning("%s", "XNNPACK is active again" if interpreter.xnnpack else text)

    def _tell_of_the_start(self, interpreter: Interpreter) -> None:
        """What is wrong from the start on, and stays so until the next one."""
        now_s = self.clock.monotonic()
        self._tell_of_speed(interpreter)
        exposed = [".".join(key) for key, _ in self._config.exposed_secrets()]
        if exposed:  # the journal has it already, with the path
            text = f"every user of the board can read the file of {' and of '.join(exposed)}: chmod o-r, then restart"
            self.problems.set("secret_exposed", text, now_s)

    def _publisher(self, info: Message, vitals: Vitals, signs: Sequence[str]) -> MqttPublisher:
        return MqttPublisher(
            parts.broker(self._config, self.topics, self.clock, signs),
            self.outbox,
            self.clock,
            self.topics,
            self._fitted.rules,
            self.pipeline,
            self.problems,
            [info],
            vitals.health,
            drain_per_s=self._config.outbox.drain_per_s,
            will_delay=self._config.mqtt.protocol == "5",
        )

    def _build_watchers(self, announced: parts.Announced, describe: Callable[[], Message]) -> None:
        """What listens and looks after things."""

        def model() -> str:
            return f"{self.activation.record.name} {self.activation.record.running}"

        self.announcement = parts.announcement(
            self._config, self.topics, self._fitted.rules, model, announced, self.publisher, self.clock
        )
        mine = board.board_id()
        self.leftovers = Leftovers(announced.stale, self.topics.root, mine, self.publisher, self.clock, announced.keep)
        self.namesake = Namesake(self.topics.info, mine, self.clock, self.problems, self.publisher.drop)
        self.upkeep = Upkeep(self.clock, self.problems, self.outbox, lambda: self.publisher.retain(describe()))
        self.checkup = Checkup(self.clock, self.problems, self.vitals.condition)

    def _wire(self) -> None:
        def received(message: Received) -> None:
            self.namesake.received(message)
            self.leftovers.received(message)
            self.control.received(message)
            if self.announcement is not None:
                self.announcement.received(message)

        def lost(notice: Disconnected) -> None:
            self.namesake.lost(notice)
            self.leftovers.lost()

        self.publisher.on_received = received
        self.publisher.on_connected = self.leftovers.connected
        self.publisher.on_lost = lost
