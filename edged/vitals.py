"""What the device says of itself: its description and its health. Part of the composition root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edged
from edged.config import Config
from edged.core import wire
from edged.core.condition import Condition
from edged.core.problems import Problems
from edged.core.ratelimit import Inbox
from edged.core.stats import Rate, Ring
from edged.core.types import Message, ModelSpec, Rule
from edged.edges import board
from edged.edges.camera import CaptureCamera
from edged.edges.tflite import RUNTIME, TfliteClassifier
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
        classifier: TfliteClassifier,
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

    def info(self, last_exit: Mapping[str, Any] | None, rules: Sequence[Rule], sources: Mapping[str, Any]) -> Message:
        """The description.

        Args:
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
