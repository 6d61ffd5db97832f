"""Telling Home Assistant what there is: on every connection, and when it is born anew.

Law: when and how often, never what: that is `core.homeassistant`. A birth is answered after a random delay, so that
twenty boards do not all speak in its first second.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from edged.core.types import Message
from edged.duties.publisher import MqttPublisher
from edged.ports import Clock, Received

BIRTH_DELAY_S = 15.0


class Announcement:
    """The discovery of one device.

    Args:
        make: gives the message; True for the one in which removed components are back for a moment.
        has_removed: whether there are any.
        remember: told once the broker has taken that they are back and that they are gone for good.
        birth_topic: where Home Assistant says `online`.
    """

    def __init__(
        self,
        make: Callable[[bool], Message],
        publisher: MqttPublisher,
        clock: Clock,
        *,
        has_removed: bool,
        remember: Callable[[], object],
        birth_topic: str,
    ) -> None:
        self._make, self._publisher, self._clock = make, publisher, clock
        self._has_removed, self._remember, self._birth_topic = has_removed, remember, birth_topic
        self._due_s: float | None = None

    def start(self) -> None:
        """Has it retained."""
        self._publisher.retain(self._make(False))

    def received(self, message: Received) -> None:
        """A birth is answered later."""
        if message.topic == self._birth_topic and message.payload == b"online" and self._due_s is None:
            self._due_s = self._clock.monotonic() + random.uniform(0.0, BIRTH_DELAY_S)  # noqa: S311

    def turn(self) -> None:
        """Answers a birth when it is time."""
        if self._due_s is None or self._clock.monotonic() < self._due_s:
            return
        self._due_s = None
        if self._has_removed:
            self._bury()
        else:
            self._publisher.answer(self._make(False))
        self._publisher.tell_health()

    def _bury(self) -> None:
        """A tombstone removes only what Home Assistant has loaded: what went while it was down comes back first."""
        taken: list[bool] = []

        def done() -> None:
            if taken and self._has_removed:
                self._has_removed = False
                self._remember()

        self._publisher.answer(self._make(True), lambda: taken.append(True))
        self._publisher.answer(self._make(False), done)
