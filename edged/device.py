"""One device: the objects of a run, built from a Config and joined by the loop. Part of the composition root."""

from __future__ import annotations

import errno
import logging
import os
import select
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import edged
from edged import loop
from edged.config import Config
from edged.core import wire
from edged.core.gate import EveryRegion
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.stats import Rate, Ring
from edged.core.trigger import Decider
from edged.core.types import Decision, Event, Message, ModelSpec, Region, Rule
from edged.edges import board, memory
from edged.edges.camera import CaptureCamera
from edged.edges.camera_file import FileSource
from edged.edges.camera_v4l2 import V4l2Source
from edged.edges.clock import ClipClock, SystemClock
from edged.edges.identity import Numbering, new_id
from edged.edges.mqtt import PahoBroker
from edged.edges.outbox_memory import MemoryOutbox
from edged.edges.systemd import Systemd
from edged.edges.tflite import RUNTIME, Interpreter, TfliteClassifier
from edged.modelstore import Package
from edged.ports import Clock, Heartbeat, Outbox, OutboxCounts, Source
from edged.publisher import MqttPublisher

TURN_S = 0.25
"""The longest turn of the loop: how late a stop, an acknowledgement or a heartbeat can be without a picture."""
DRAIN_S = 5.0
STALL_S, FILE_STALL_S = 5.0, 30.0
MAX_EVENTS = 1000
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
        stop: ends the run when it is set.
    """

    def __init__(
        self, config: Config, fitted: Fitted, interpreter: Interpreter, threads: int, stop: threading.Event
    ) -> None:
        self.config, self.fitted, self.threads, self.stop = config, fitted, threads, stop
        self.clock: SystemClock = ClipClock() if config.camera.pace == "max" else SystemClock()
        self.invoke_ms = Ring(INVOKE_SAMPLES)
        self.camera = _camera(config, self.clock, stop)
        self.wanted = tuple(dict.fromkeys(rule.label for rule in fitted.rules))
        self.classifier = TfliteClassifier(
            interpreter, fitted.spec, self.wanted, self.invoke_ms, fitted.package.scores_output
        )
        self.pipeline = Pipeline(self.clock.monotonic())
        self.problems = Problems()
        self.rate = Rate(self.clock.monotonic())
        self.numbering = Numbering(self.clock, new_id(), board.boot_id(), _model_label(fitted.spec))
        if not interpreter.xnnpack:
            text = f"XNNPACK is not active in {RUNTIME}: inference is several times slower than it could be"
            self.problems.set("xnnpack_inactive", text, self.clock.monotonic())
            log.warning("%s", text)

    def run(
        self, last_exit: dict[str, object] | None, print_events: bool, on_turn: Callable[[Report], None] | None
    ) -> None:
        """Runs the loop, then says what remains to be said."""
        config = self.config
        topics = wire.Topics(config.mqtt.topic_prefix, config.device.name)
        self.outbox: Outbox = MemoryOutbox(self.numbering, self.clock, MAX_EVENTS)
        if print_events:
            self.outbox = _PrintingOutbox(self.outbox, topics)
        publisher = MqttPublisher(
            _broker(config, topics, self.clock),
            self.outbox,
            self.clock,
            topics,
            self.fitted.rules,
            self.pipeline,
            self.problems,
            self._info(topics, last_exit),
            lambda: self._health(topics),
            will_delay=config.mqtt.protocol == "5",
        )
        memory.give_back_after_start(self.fitted.package.model_path)
        publisher.start()
        systemd = Systemd(self.clock)
        systemd.ready()
        loop.run(
            self.camera,
            EveryRegion(self.fitted.regions),
            self.classifier,
            Decider(self.fitted.rules, self.wanted),
            self.pipeline,
            self.outbox,
            publisher,
            systemd if on_turn is None else _Observed(systemd, lambda: on_turn(self.report())),
            self.stop,
            TURN_S,
        )
        systemd.stopping()
        publisher.close(DRAIN_S)

    def report(self) -> Report:
        """What the run has come to so far."""
        return Report(
            frames=self.camera.taken,
            dropped=self.camera.dropped,
            events=self.numbering.last_seq,
            acknowledged=self.outbox.acknowledged,
            invoke_ms=self.invoke_ms,
        )

    def _info(self, topics: wire.Topics, last_exit: dict[str, object] | None) -> Message:
        camera = self.config.camera
        return wire.info(
            topics,
            version=edged.__version__,
            board=board.board_id(),
            boot_id=board.boot_id(),
            log=self.numbering.log,
            last_exit=last_exit,
            model=self.fitted.spec,
            rules=self.fitted.rules,
            settings={
                "fps": camera.fps,
                "width_px": camera.width_px,
                "height_px": camera.height_px,
                "threads": self.threads,
                "runtime": RUNTIME,
                "protocol": self.config.mqtt.protocol,
            },
        )

    def _health(self, topics: wire.Topics) -> Message:
        now_s = self.clock.monotonic()
        last_t_s = self.classifier.last_t_s
        return wire.health(
            topics,
            fps=self.rate.read(now_s, self.camera.taken),
            frames=self.camera.taken,
            drops=self.camera.dropped,
            invoke_ms=self.invoke_ms.percentiles(),
            frame_age_ms=None if last_t_s is None else self.clock.age_ms(last_t_s),
            outbox=_counts(self.outbox.counts()),
            rss_mb=board.rss_mb(),
            soc_temp_c=board.soc_temp_c(),
            undervoltage=board.undervoltage(),
            throttled=board.throttled(),
            clock_synced=self.clock.is_synced(),
            problems=[(problem, self.clock.label(problem.since_s)) for problem in self.problems.all()],
        )


class _Observed:
    """A heartbeat that somebody else hears, too."""

    def __init__(self, heartbeat: Heartbeat, observer: Callable[[], None]) -> None:
        self._heartbeat, self._observer = heartbeat, observer

    def beat(self) -> None:
        self._heartbeat.beat()
        self._observer()


class _PrintingOutbox:
    """An outbox that also writes every event as one JSON line on stdout, as long as somebody reads there."""

    def __init__(self, outbox: Outbox, topics: wire.Topics) -> None:
        self._outbox, self._topics = outbox, topics
        self._read = sys.stdout is not None
        self._stdout = sys.stdout.fileno() if self._read else -1
        self.log = outbox.log
        self.next, self.acknowledge, self.release = outbox.next, outbox.acknowledge, outbox.release
        self.counts = outbox.counts

    @property
    def acknowledged(self) -> int:
        return self._outbox.acknowledged

    def append(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        events = self._outbox.append(decisions)
        for event in events if self._read else ():
            self._print(wire.event(self._topics, event, age_s=0.0).payload + b"\n")
        return events

    def _print(self, line: bytes) -> None:
        """Writes a line where somebody reads now: the loop does not wait for a reader."""
        try:
            if not select.select((), (self._stdout,), (), 0)[1]:
                raise BlockingIOError(errno.EAGAIN, "the reader does not read")
            os.write(self._stdout, line)  # a pipe that is ready takes PIPE_BUF bytes, more than a line has
        except OSError as error:
            self._read = False
            log.warning("events are no longer printed: %s", error.strerror)


def _camera(config: Config, clock: Clock, stop: threading.Event) -> CaptureCamera:
    camera = config.camera
    lockstep = camera.pace == "max"
    source: Source
    stall_s = STALL_S
    if camera.scheme == "file":
        # A file waits for the pace of its own clip, down to one frame in ten seconds, and does not stall.
        stall_s = FILE_STALL_S
        source = FileSource(camera.path, camera.fps, camera.pace, camera.at_end, clock, stop)
    else:
        source = V4l2Source(camera.path, camera.width_px, camera.height_px, camera.fps, clock)
    return CaptureCamera(
        source,
        clock,
        camera.fps,
        rotate_deg=camera.rotate_deg,
        masks=camera.privacy_masks,
        lockstep=lockstep,
        stall_s=stall_s,
    )


def _broker(config: Config, topics: wire.Topics, clock: Clock) -> PahoBroker:
    mqtt = config.mqtt
    return PahoBroker(
        mqtt.host,
        mqtt.port,
        client_id=f"edged-{config.device.name}",
        protocol=mqtt.protocol,
        keepalive_s=mqtt.keepalive_s,
        will=wire.availability(topics, wire.OFFLINE),
        username=mqtt.username,
        password=config.password(),
        clock=clock,
    )


def _counts(counts: OutboxCounts) -> Mapping[str, Any]:
    return {
        "rows": counts.rows,
        "bytes": counts.bytes,
        "oldest_s": None if counts.oldest_s is None else round(counts.oldest_s, 1),
        "dropped": counts.dropped,
        "first_seq": counts.first_seq,
        "last_seq": counts.last_seq,
    }


def _model_label(spec: ModelSpec) -> str:
    return f"{spec.name}@{spec.sha256[:8]}"
