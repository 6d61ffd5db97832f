"""Events on stdout as they are stored, for `--print-events`: an outbox around an outbox, and the loop need not know."""

from __future__ import annotations

import errno
import logging
import os
import select
import sys
from collections.abc import Sequence

from edged.core import wire
from edged.core.types import Decision, Event
from edged.ports import Outbox

log = logging.getLogger("edged")


class PrintingOutbox:
    """An outbox that also writes every event as one JSON line on stdout, as long as somebody reads there."""

    def __init__(self, outbox: Outbox, topics: wire.Topics) -> None:
        self._outbox, self._topics = outbox, topics
        self._read = sys.stdout is not None
        self._stdout = sys.stdout.fileno() if self._read else -1
        self.log = outbox.log
        self.next, self.acknowledge, self.refuse = outbox.next, outbox.acknowledge, outbox.refuse
        self.release, self.replay, self.counts = outbox.release, outbox.replay, outbox.counts

    @property
    def acknowledged(self) -> int:
        """How many events the broker took since the start."""
        return self._outbox.acknowledged

    def append(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        """Keeps events, then prints them: what is seen is stored."""
        events = self._outbox.append(decisions)
        for event in events if self._read else ():
            self._print(wire.event(self._topics, event, late=False).payload + b"\n")
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
