"""Events on stdout as they are stored, for `--print-events`: told by the outbox, so the loop need not know."""

from __future__ import annotations

import errno
import logging
import os
import select
import sys
from collections.abc import Sequence

from edged.core import wire
from edged.core.types import Event

log = logging.getLogger("edged")


class EventPrinter:
    """Writes every event as one JSON line on stdout, as long as somebody reads there."""

    def __init__(self, topics: wire.Topics) -> None:
        self._topics = topics
        self._read = sys.stdout is not None
        self._stdout = sys.stdout.fileno() if self._read else -1

    def stored(self, events: Sequence[Event]) -> None:
        """To be told of events when they are kept: what is seen is stored."""
        for event in events if self._read else ():
            self._print(wire.event(self._topics, event, late=False).payload + b"\n")

    def _print(self, line: bytes) -> None:
        """Writes a line where somebody reads now: the loop does not wait for a reader."""
        try:
            if not select.select((), (self._stdout,), (), 0)[1]:
                raise BlockingIOError(errno.EAGAIN, "the reader does not read")
            os.write(self._stdout, line)  # a pipe that is ready takes PIPE_BUF bytes, more than a line has
        except OSError as error:
            self._read = False
            log.warning("events are no longer printed: %s", error.strerror)
