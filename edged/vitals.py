"""What the device says of itself: its description and its health. Part of the composition root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edged
from edged.config import Config
from edged.core import wire
from edged.core.activation import Record
from edged.core.condition import Condition, high_mb
from edged.core.problems import Problems
from edged.core.ratelimit import Inbox
from edged.core.stats import Rate, Ring
from edged.core.types import Message, ModelSpec, Rule
from edged.duties.classifier import ChangingClassifier
from edged.edges import board
from edged.edges.camera import CaptureCamera
from edged.edges.tflite import RUNTIME
from edged.ports import Clock, Outbox


class Vitals:
    """Makes `D/info` and `D/health` from the objects of a run; asks each for a figure and keeps hardly any.

    Args:
        folder: the state folder, for what is free on its disk.
    """

    def __init__(
        self,
        config: Config,
        topics: wire.Topics,
        spec: ModelSpec,
        threads: int,
        clock: Clock,
        camera: CaptureCamera,
        classifier: ChangingClassifier,
        outbox: Outbox,
        problems: Problems,
        invoke_ms: Ring,
        inbox: Inbox,
        folder: Path,
    ) -> None:
        self._config, self._topics, self._spec, self._threads = config, topics, spec, threads
        self._clock, self._camera, self._classifier, self._outbox = clock, camera, classifier, outbox
        self._problems, self._invoke_ms = problems, invoke_ms
        self._inbox, self._folder = inbox, folder
        self._rate = Rate(clock.monotonic())
        self._begun_mb: float | None = None
        self._memory_limit_mb: float | None = None
        self._synced_s = clock.monotonic()

    def begin(self) -> None:
        """The loop is about to turn: what the process takes now decides how much it may take."""
        self._begun_mb = board.anonymous_mb()
        self._memory_limit_mb = None if self._begun_mb is None else board.memory_limit_mb(self._begun_mb)

    def change(self, spec: ModelSpec, threads: int) -> None:
        """Another model judges from now on."""
        self._spec, self._threads = spec, threads

    def memory_trouble(self, more_mb: float = 0.0) -> str | None:
        """Why there is no room in memory for a model; None where there is.

        Args:
            more_mb: what it takes on top of what the process takes now.
        """
        now = self.condition()
        limit_mb = high_mb(now)
        if limit_mb is None or now.anonymous_mb is None or now.anonymous_mb + more_mb < limit_mb:
            return None
        taken_mb = now.anonymous_mb + more_mb
        return f"with it the process takes {taken_mb:.0f} MB of memory, and should stay below {limit_mb:.0f}"

    def condition(self) -> Condition:
        """How the board and the process are now."""
        now_s = self._clock.monotonic()
        if self._clock.is_synced():
            self._synced_s = now_s
        return Condition(
            anonymous_mb=board.anonymous_mb(),
            begun_mb=self._begun_mb,
            memory_limit_mb=self._memory_limit_mb,
            memory_cgroup=board.memory_cgroup(),
            disk_free_mb=board.disk_free_mb(self._folder),
            soc_temp_c=board.soc_temp_c(),
            undervoltage=board.undervoltage(),
            throttled=board.throttled(),
            unsynced_s=now_s - self._synced_s or None,
        )

    def info(
        self,
        last_exit: Mapping[str, Any] | None,
        activation: Record,
        rules: Sequence[Rule],
        sources: Mapping[str, Any],
    ) -> Message:
        """The description.

        Args:
            activation: how things stand with the versions of the model.
            rules: with the thresholds in force.
            sources: where those and the switch come from.
        """
        camera = self._config.camera
        return wire.info(
            self._topics,
            version=edged.__version__,
            board=board.board_id(),
            boot_id=board.boot_id(),
            log=self._outbox.log,
            last_exit=last_exit,
            model=self._spec,
            activation=activation,
            rules=rules,
            settings={
                "fps": camera.fps,
                "width_px": camera.width_px,
                "height_px": camera.height_px,
                "threads": self._threads,
                "runtime": RUNTIME,
                "protocol": self._config.mqtt.protocol,
                "sources": sources,
            },
        )

    def health(self) -> Message:
        """How it goes now."""
        now_s = self._clock.monotonic()
        counts, last_t_s = self._outbox.counts(), self._classifier.last_t_s
        return wire.health(
            self._topics,
            fps=self._rate.read(now_s, self._camera.taken),
            frames=self._camera.taken,
            drops=self._camera.dropped,
            damaged=self._camera.damaged,
            invoke_ms=self._invoke_ms.percentiles(),
            frame_age_ms=None if last_t_s is None else self._clock.age_ms(last_t_s),
            outbox={
                "rows": counts.rows,
                "bytes": counts.bytes,
                "oldest_s": None if counts.oldest_s is None else round(counts.oldest_s, 1),
                "dropped": counts.dropped,
                "set_aside": counts.set_aside,
                "first_seq": counts.first_seq,
                "last_seq": counts.last_seq,
            },
            requests_dropped=self._inbox.dropped,
            rss_mb=board.rss_mb(),
            condition=self.condition(),
            clock_synced=self._clock.is_synced(),
            problems=[(problem, self._clock.label(problem.since_s)) for problem in self._problems.all()],
        )
