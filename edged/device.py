"""One device: the objects of a run, built from a Config and joined by the loop. Part of the composition root."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edged import loop, parts
from edged.config import Config
from edged.control import Control
from edged.core import wire
from edged.core.gate import EveryRegion
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.settings import Settings
from edged.core.stats import Ring
from edged.core.trigger import Decider
from edged.core.types import Message, ModelSpec, Region, Rule
from edged.edges import board, memory
from edged.edges.clock import ClipClock, SystemClock
from edged.edges.state_folder import StateFolder
from edged.edges.systemd import Systemd
from edged.edges.tflite import RUNTIME, Interpreter, TfliteClassifier
from edged.modelstore import Package
from edged.namesake import Namesake
from edged.pause import PausableCamera
from edged.ports import Outbox, Received
from edged.printing import PrintingOutbox
from edged.publisher import MqttPublisher
from edged.upkeep import Upkeep
from edged.vitals import Vitals

TURN_S = 0.25
"""The longest turn of the loop: how late a stop, an acknowledgement or a heartbeat can be without a picture."""
DRAIN_S = 5.0
INVOKE_SAMPLES = 600

log = logging.getLogger("edged")


@dataclass(frozen=True)
class Fitted:
    """A configuration and a model that fit each other.

    Attributes:
        interpreter: the model as it was loaded to find that out, with one thread.
    """

    package: Package
    interpreter: Interpreter
    spec: ModelSpec
    regions: tuple[Region, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Report:
    """What a run came to, for whoever asked for it.

    Attributes:
        events: decided and numbered.
        acknowledged: of those, how many the broker has.
    """

    frames: int
    dropped: int
    events: int
    acknowledged: int
    invoke_ms: Ring

    @property
    def invoke_p50_ms(self) -> float | None:
        """Median wall time of the last invokes; None before the first."""
        percentiles = self.invoke_ms.percentiles()
        return percentiles.p50 if percentiles else None


class Device:
    """The objects of one run.

    Args:
        interpreter: the model with as many threads as it shall have; used by this object alone.
        threads: how many those are.
        root: the state root; the device's own folder is in it.
        stop: ends the run when it is set.
        restart: begins a clean end after which the process starts again.

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
        restart: Callable[[], None],
        *,
        last_exit: Mapping[str, Any] | None,
        print_events: bool,
    ) -> None:
        self._fitted, self._stop = fitted, stop
        folder = root.inner(config.device.name)
        self.clock: SystemClock = ClipClock() if config.camera.pace == "max" else SystemClock()
        clock, spec = self.clock, fitted.spec
        topics = wire.Topics(config.mqtt.topic_prefix, config.device.name)
        self.invoke_ms, self.problems = Ring(INVOKE_SAMPLES), Problems()
        self.pipeline = Pipeline(clock.monotonic())
        self.camera = parts.camera(config, clock, stop)
        self.wanted = tuple(dict.fromkeys(rule.label for rule in fitted.rules))
        self.classifier = TfliteClassifier(interpreter, spec, self.wanted, self.invoke_ms, fitted.package.scores_output)
        self.decider = Decider(fitted.rules, self.wanted)
        self.durable = parts.outbox(config, folder, clock, spec)
        self.outbox: Outbox = PrintingOutbox(self.durable, topics) if print_events else self.durable
        settings = Settings.load(folder.read("settings.json"), fitted.rules)
        vitals = Vitals(
            config,
            topics,
            spec,
            threads,
            clock,
            self.camera,
            self.classifier,
            self.outbox,
            self.problems,
            self.invoke_ms,
        )

        def describe() -> Message:
            return vitals.info(last_exit, settings.rules(), settings.sources())

        self.publisher = MqttPublisher(
            parts.broker(config, topics, clock),
            self.outbox,
            clock,
            topics,
            fitted.rules,
            self.pipeline,
            self.problems,
            [describe()],
            vitals.health,
            drain_per_s=config.outbox.drain_per_s,
            will_delay=config.mqtt.protocol == "5",
        )
        self.control = Control(
            clock,
            topics,
            settings,
            self.decider,
            self.pipeline,
            self.outbox,
            self.publisher,
            describe=describe,
            keep=lambda kept: folder.write("settings.json", kept),
            restart=restart,
        )
        model = f"{spec.name} {spec.version}"
        self.announcement = parts.announcement(config, topics, fitted.rules, model, root, self.publisher, clock)
        self.namesake = Namesake(topics.info, board.board_id(), clock, self.problems, self.publisher.drop)
        self.upkeep = Upkeep(clock, self.problems, self.durable.correct_clock, lambda: self.durable.problems)
        if not interpreter.xnnpack:
            text = f"XNNPACK is not active in {RUNTIME}: inference is several times slower than it could be"
            self.problems.set("xnnpack_inactive", text, clock.monotonic())
            log.warning("%s", text)

    def run(self, on_turn: Callable[[Report], None] | None) -> None:
        """Runs the loop, then says what remains to be said."""
        self._wire()
        systemd = Systemd(self.clock)
        turns = [systemd.beat, self.control.turn, self.namesake.turn, self.upkeep.turn]
        if self.announcement is not None:
            turns.append(self.announcement.turn)
            self.announcement.start()
        if on_turn is not None:
            turns.append(lambda: on_turn(self.report()))
        self.durable.close_open()
        memory.give_back_after_start(self._fitted.package.model_path)
        self.control.start()
        self.publisher.start()
        systemd.ready()
        try:
            loop.run(
                PausableCamera(self.camera, self.control.paused, self.clock, self._stop),
                EveryRegion(self._fitted.regions),
                self.classifier,
                self.decider,
                self.pipeline,
                self.outbox,
                self.publisher,
                _Heartbeats(turns),
                self._stop,
                TURN_S,
            )
            systemd.stopping()
            self.publisher.close(DRAIN_S)
        finally:
            self.durable.close()

    def report(self) -> Report:
        """What the run has come to so far."""
        return Report(
            frames=self.camera.taken,
            dropped=self.camera.dropped,
            events=self.durable.numbered,
            acknowledged=self.durable.acknowledged,
            invoke_ms=self.invoke_ms,
        )

    def _wire(self) -> None:
        def received(message: Received) -> None:
            self.namesake.received(message)
            self.control.received(message)
            if self.announcement is not None:
                self.announcement.received(message)

        self.publisher.on_received = received
        self.publisher.on_lost = self.namesake.lost


class _Heartbeats:
    """A finished turn, for everyone who does a little at each."""

    def __init__(self, turns: Sequence[Callable[[], None]]) -> None:
        self._turns = tuple(turns)

    def beat(self) -> None:
        for turn in self._turns:
            turn()
