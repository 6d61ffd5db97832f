"""Taking off the broker what earlier configurations left there: of removed rules, and under another name.

Law: what is under this device's own name goes before it is `online`. What is under a name that it had once goes only
where the description there is still of this board and nobody is online there: by now the name may be another's. Each
topic is cleared once, and is remembered until the broker says that it is.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass

from edged.core import wire
from edged.duties.namesake import board_of
from edged.duties.publisher import MqttPublisher
from edged.ports import Clock, Received

LAST_WORD_S = 15.0
"""The broker says `offline` so late for a device that was renamed: after the delay of its will, and some seconds."""

log = logging.getLogger("edged.leftovers")


@dataclass
class _Place:
    """What is heard of another root on this connection. None: nothing yet."""

    board: str | None = None
    word: bytes | None = None


class Leftovers:
    """Clears what is stale.

    Args:
        stale: topics by root, see `core.leftovers`; emptied as they are cleared. The signs of other roots must be
            subscribed to.
        root: this device's own.
        board: the id of this board, as descriptions have it.
        remember: told after each change of `stale`.
    """

    def __init__(
        self,
        stale: dict[str, list[str]],
        root: str,
        board: str,
        publisher: MqttPublisher,
        clock: Clock,
        remember: Callable[[], object],
    ) -> None:
        self._stale, self._root, self._board = stale, root, board
        self._publisher, self._clock, self._remember = publisher, clock, remember
        self._places: dict[str, _Place] = {}
        self._asked_s = float("inf")
        self._changed = False

    def connected(self) -> None:
        """A connection begins: own leftovers are cleared on it, and other roots are listened to."""
        self._asked_s = self._clock.monotonic()
        self._places = {root: _Place() for root in self._stale if root != self._root}
        self._clear(self._root)

    def lost(self) -> None:
        """It ended, and what was heard counts no longer."""
        self._places.clear()

    def received(self, message: Received) -> None:
        """A sign of who lives under another root."""
        root, _, name = message.topic.rpartition("/")
        place = self._places.get(root)
        if place is None:
            return
        if name == "info":
            place.board = board_of(message.payload)
        elif name == "availability":
            place.word = message.payload

    def turn(self) -> None:
        """Clears or leaves alone what enough is known of, and has kept what changed."""
        is_time = self._clock.monotonic() - self._asked_s >= LAST_WORD_S
        for root, place in list(self._places.items()):
            # Two of one name share a client id: under another prefix nobody else can be connected, and an `online`
            # there is this device's own, which nobody takes back.
            is_same_device = root.rpartition("/")[2] == self._root.rpartition("/")[2]
            is_free = place.word == wire.OFFLINE or is_same_device
            if (is_free and place.board is not None) or (is_time and (is_free or not place.word)):
                del self._places[root]
                self._settle(root, place)
        if self._changed:
            self._changed = False
            self._remember()

    def _settle(self, root: str, place: _Place) -> None:
        if place.board == self._board:
            self._clear(root)
            return
        del self._stale[root]
        self._changed = True
        whose = "nothing to be seen" if place.board is None else "another board"
        log.info("%s is left alone: there is %s by now", root, whose)

    def _clear(self, root: str) -> None:
        for topic in tuple(self._stale.get(root, ())):
            self._publisher.clear(topic, functools.partial(self._answered, root, topic))

    def _answered(self, root: str, topic: str, refused: str | None) -> None:
        if refused is not None:
            log.warning("%s stays on the broker, which refuses to clear it (%s)", topic, refused)
            return
        self._changed = True
        self._stale[root].remove(topic)
        if not self._stale[root]:
            del self._stale[root]
