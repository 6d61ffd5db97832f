"""What the device is told to do: commands carried out, settings applied and kept, pauses begun and ended.

Law: a message is acknowledged before it comes here, so nothing is done twice; everything is answered or applied at a
turn of the loop, never in another thread. Reading is `core.commands`, limits are `core.ratelimit`, precedence is
`core.settings`: this file only acts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from edged.core import commands, wire
from edged.core.commands import (
    Install,
    Pause,
    Refusal,
    Replay,
    Request,
    Restart,
    Resume,
    SetEnabled,
    SetThreshold,
    UseModel,
)
from edged.core.pipeline import Pipeline
from edged.core.ratelimit import Inbox
from edged.core.settings import Settings
from edged.core.trigger import Decider
from edged.core.types import Message
from edged.duties.publisher import MqttPublisher
from edged.ports import Clock, Outbox, Received

log = logging.getLogger("edged.control")


class Control:
    """Carries out what is asked for over MQTT.

    Args:
        inbox: where messages go first, for this object alone to fill.
        describe: makes `D/info` anew, after a setting changed.
        keep: has the settings outlive the process.
        restart: begins a clean end after which the process starts again.
        change_model: has another version of the model take over; answers by itself, but for a refusal that it gives.

    Attributes:
        settings: as they are in force.
    """

    def __init__(
        self,
        clock: Clock,
        topics: wire.Topics,
        settings: Settings,
        decider: Decider,
        pipeline: Pipeline,
        outbox: Outbox,
        publisher: MqttPublisher,
        inbox: Inbox,
        *,
        describe: Callable[[], Message],
        keep: Callable[[Mapping[str, Any]], object],
        restart: Callable[[], None],
        change_model: Callable[[UseModel | Install], Refusal | None],
    ) -> None:
        self.settings = settings
        self._clock, self._topics, self._decider, self._pipeline = clock, topics, decider, pipeline
        self._outbox, self._publisher = outbox, publisher
        self._describe, self._keep, self._restart = describe, keep, restart
        self._change_model = change_model
        self._inbox = inbox
        self._paused_until_s: float | None = None

    def paused(self) -> str | None:
        """Why the camera is to be closed, as `D/pipeline` says it; None while it is not."""
        if not self.settings.enabled:
            return "disabled"
        return "requested" if self._paused_until_s is not None else None

    def start(self) -> None:
        """Puts the kept settings into force and has their topics retained."""
        self._publisher.retain(wire.enabled(self._topics, self.settings.enabled))
        for rule in self.settings.rules():
            self._decider.retune(rule.name, rule.score_threshold, rule.release_threshold)
            self._publisher.retain(wire.threshold(self._topics, rule.name, rule.score_threshold))

    def received(self, message: Received) -> None:
        """Takes a message; a request is carried out and answered at once."""
        found = self._inbox.put(self._clock.monotonic(), message.topic, message.payload, message.retained)
        if isinstance(found, Refusal):
            self._refuse(found)
        elif isinstance(found, UseModel):
            self._change(found)
        elif found is not None:
            log.info("%s is asked for", found.command)
            self._publisher.answer(commands.response(self._topics, found, self._obey(found)))

    def turn(self) -> None:
        """Applies settings that are due and ends a pause whose time is over."""
        now_s = self._clock.monotonic()
        for one in self._inbox.due(now_s):
            if isinstance(one, Refusal):
                self._refuse(one)
            elif isinstance(one, Install):
                self._change(one)
            else:
                self._apply(one)
        if self._paused_until_s is not None and now_s >= self._paused_until_s:
            self._resume()

    def _obey(self, request: Request) -> dict[str, Any] | None:
        """Carries a request out and gives the data of its answer."""
        if isinstance(request, Replay):
            first, last, count = self._outbox.replay(request.from_seq) or (None, None, 0)
            return {"first_seq": first, "last_seq": last, "count": count}
        if isinstance(request, Restart):
            self._restart()
        elif isinstance(request, Resume):
            self._resume()
        elif isinstance(request, Pause):
            self._paused_until_s = self._clock.monotonic() + request.seconds
        return None

    def _resume(self) -> None:
        self._paused_until_s = None
        self._start_looking()

    def _start_looking(self) -> None:
        if self._pipeline.state == "paused" and self.paused() is None:
            self._pipeline.change("starting", None, self._clock.monotonic())

    def _change(self, what: UseModel | Install) -> None:
        log.info("%s is asked for", what.command)
        refusal = self._change_model(what)
        if refusal is not None:
            self._refuse(refusal)

    def _apply(self, setting: SetEnabled | SetThreshold) -> None:
        if isinstance(setting, SetEnabled):
            changed = self.settings.set_enabled(setting.on)
            self._publisher.retain(wire.enabled(self._topics, self.settings.enabled))
            self._start_looking()
        else:
            changed = self._apply_threshold(setting)
        if changed:
            log.info("%s is set", setting.command)
            self._keep(self.settings.as_json())
            self._publisher.retain(self._describe())

    def _apply_threshold(self, setting: SetThreshold) -> bool:
        changed = self.settings.set_threshold(setting.rule, setting.value)
        rule = self.settings.rule(setting.rule)
        self._decider.retune(rule.name, rule.score_threshold, rule.release_threshold)
        self._publisher.retain(wire.threshold(self._topics, rule.name, rule.score_threshold))
        return changed

    def _refuse(self, refusal: Refusal) -> None:
        """Answers, and for a setting says again what is in force: whoever sent it may show it as done."""
        self._publisher.answer(commands.response(self._topics, refusal))
        if refusal.command == "enabled":
            self._publisher.retain(wire.enabled(self._topics, self.settings.enabled))
        elif refusal.rule is not None:
            threshold = self.settings.threshold(refusal.rule)
            self._publisher.retain(wire.threshold(self._topics, refusal.rule, threshold))
