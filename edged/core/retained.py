"""The newest value of every retained topic, and what of it the broker still has to be given.

Law: pure bookkeeping; no message is made here but the empty one that clears a topic. Of a topic only the newest value
is ever given out. What the broker refuses for now is due again after a pause, what it refuses for good on the next
connection. To clear a topic holds for one connection and is done once: by the next one somebody else may live there.
"""

from __future__ import annotations

from collections.abc import Callable

from edged.core.types import Message

REFUSED_PAUSE_S = 5.0
"""A broker that refuses a message for now (a quota, for instance) is left alone for so long."""


class Retained:
    """What lies, or shall lie, retained on the broker."""

    def __init__(self) -> None:
        self._values: dict[str, Message] = {}
        self._clears: dict[str, Callable[[str | None], object]] = {}
        self._due: dict[str, None] = {}  # in the order in which they are sent
        self._put_off: dict[str, float] = {}  # refused for now: when they are due again

    @property
    def settled(self) -> bool:
        """Whether nothing is due, now or after a pause; what is in flight, the publisher knows."""
        return not self._due and not self._put_off

    def put(self, message: Message) -> None:
        """The newest value of a topic."""
        self._values[message.topic] = message
        if message.topic not in self._put_off:
            self._due[message.topic] = None

    def clear(self, topic: str, answered: Callable[[str | None], object]) -> None:
        """Takes a topic off the broker, once and on this connection.

        Args:
            answered: gets None when it is done, else why the broker refuses it. Not called where the connection ends
                before.
        """
        self._clears[topic] = answered
        self.put(Message(topic, b"", 1, retain=True))

    def connected(self, last: str) -> None:
        """A new connection: every value is due, but that of the topic `last`."""
        self._put_off.clear()
        self._due = dict.fromkeys(topic for topic in self._values if topic != last)

    def lost(self) -> None:
        """The connection ended, and with it what was to be cleared on it."""
        for topic in self._clears:
            del self._values[topic]
            self._due.pop(topic, None)
            self._put_off.pop(topic, None)
        self._clears.clear()

    def next(self, now_s: float) -> Message | None:
        """The first value that is due; due until `sent` is told."""
        for topic in [topic for topic, due_s in self._put_off.items() if now_s >= due_s]:
            del self._put_off[topic]
            self._due[topic] = None
        return next((self._values[topic] for topic in self._due), None)

    def sent(self, topic: str) -> None:
        """The newest value of a topic is on its way."""
        self._due.pop(topic, None)

    def answered(self, topic: str, refused: str | None, for_good: bool, now_s: float) -> None:
        """The broker answered a value of a topic.

        Args:
            refused: None for yes, else its reason.
            for_good: asking again would not help.
        """
        self._put_off.pop(topic, None)
        if refused is not None and not for_good:
            self._due.pop(topic, None)
            self._put_off[topic] = now_s + REFUSED_PAUSE_S
        elif topic in self._clears:
            del self._values[topic]
            self._clears.pop(topic)(refused)
