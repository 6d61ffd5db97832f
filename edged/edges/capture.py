"""The capture thread: opens a source, grabs, hands shots over, re-opens for ever.

Law: every call of a source happens in this thread, because each may block for ever. The thread writes what it knows
into plain attributes, the loop's side reads them; neither waits for the other. A thread that is stuck in a driver is
left behind, and a later one does not touch the source before it has let go.
"""

from __future__ import annotations

import logging
import threading
from typing import Literal

from edged.core.backoff import Backoff
from edged.core.errors import CameraError
from edged.edges.frames import Pacer, ShotSlot
from edged.ports import Clock, Source

log = logging.getLogger("edged.camera")

LOOK_AGAIN_S = 1.0
"""How often a lost camera is asked, within the back-off, whether it is there again."""

Lost = tuple[Literal["camera_lost", "camera_fault"], str]


class Capture:
    """One stay in `with`: the thread writes, the loop reads.

    Attributes:
        started_s: when the thread was started.
        call_since_s: since when the thread is in its present call of the source; None between calls.
        alive_s: when the source last gave a picture or opened; None before its first opening.
        lost: why there is no picture, from a failure to the next picture.
        story: the same for the journal, with the camera's path.
        ended: the clip is over.
        fault: what ended the thread and was no camera trouble; the loop raises it.
        complaint: set by the loop: what it was given is no good, so that the source is opened anew.
    """

    def __init__(
        self, source: Source, clock: Clock, pacer: Pacer | None, backoff: Backoff, driving: threading.Lock
    ) -> None:
        self.slot = ShotSlot(lockstep=pacer is None)
        self.started_s = clock.monotonic()
        self.call_since_s: float | None = None
        self.alive_s: float | None = None
        self.lost: Lost | None = None
        self.story = ""
        self.ended = False
        self.fault: Exception | None = None
        self.complaint: CameraError | None = None
        self._source = source
        self._clock = clock
        self._pacer = pacer
        self._backoff = backoff
        self._driving = driving
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edged-capture", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def leave(self, timeout_s: float) -> None:
        """Asks the thread to end and waits for it, but not for a driver that does not return."""
        self._leaving.set()
        self.slot.close()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._enters()
            # A thread of an earlier stay may still be in the driver: two must never be.
            with self._driving:
                while not self._leaving.is_set() and not self.ended:
                    self._rest(self._session())
        except Exception as error:  # noqa: BLE001 - the loop raises it, see newest()
            self.fault = error
        self.slot.wake()

    def _rest(self, delay_s: float) -> None:
        """Waits for the next try, and no longer once the camera is there again."""
        while delay_s > 0 and not self._leaving.wait(min(delay_s, LOOK_AGAIN_S)):
            delay_s -= LOOK_AGAIN_S
            if self._source.came_back():
                return

    def _session(self) -> float:
        """Drives the source from one opening to its closing: seconds to wait before the next one."""
        try:
            self._enters()
            picture_format = self._source.open()
            self._returns()
            self.complaint = None  # of pictures before this opening
            if self.slot.refit(picture_format):
                self._read()
            return 0.0
        except CameraError as error:
            self.story = str(error)
            self.lost = ("camera_fault" if error.reason == "camera_fault" else "camera_lost", error.text)
            self.slot.wake()
            return self._backoff.failed(self._clock.monotonic())
        finally:
            self._enters()
            self._source.close()
            self.call_since_s = None

    def _read(self) -> None:
        if self._pacer is not None:
            self._pacer.restart()
        while not self._leaving.is_set():
            if self.complaint is not None:
                self.slot.discard()
                raise self.complaint
            self._enters()
            t_s = self._source.grab()
            self._returns()
            if t_s is None:
                self.ended = True
                return
            # One that is due and still lies there gives way to every newer one: the loop never gets a stale picture.
            if self._pacer is not None and not self._pacer.is_due(t_s) and not self.slot.unread:
                continue
            shot = self.slot.back
            shot.t_s = t_s
            self._enters()
            self._source.retrieve(shot)
            self._backoff.worked(self._returns())
            self.lost = None
            if not self.slot.publish():
                return

    def _enters(self) -> None:
        self.call_since_s = self._clock.monotonic()

    def _returns(self) -> float:
        self.call_since_s = None
        self.alive_s = now_s = self._clock.monotonic()
        return now_s
