"""The camera as the loop sees it: one capture thread that drives a source, and the newest picture it gave.

Law: opening, reading, re-opening and closing happen only in the capture thread, because each of them may block for
ever; the loop's side never waits longer than it was told. Every picture is rotated and masked before `newest()`
returns it: no later line sees an unmasked pixel. Knows no kind of camera (that is a `Source`) and no cv2.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

import numpy as np

from edged.core.backoff import Backoff
from edged.core.errors import CameraError, CameraHung
from edged.core.types import Blind, Box, End, Frame, Look
from edged.edges.frames import FrameSlot, Pacer
from edged.edges.pixels import blacken, rotate
from edged.ports import Clock, Source

log = logging.getLogger("edged.camera")

OPENING_S = 10.0
"""How much longer than a stall the first opening may take before it counts as lost."""
LEAVING_S = 2.0
"""How long leaving waits for the capture thread; one that is stuck in a driver is left behind."""

Lost = tuple[Literal["camera_lost", "camera_fault"], str]


class CaptureCamera:
    """A `Camera`: masked, rotated pictures from a source that is re-opened for ever.

    Args:
        source: driven by the capture thread alone.
        fps: pictures wanted a second; what is grabbed beyond that is never decoded.
        rotate_deg: 0, 90, 180 or 270, clockwise.
        masks: blacked out, fractions of the picture after rotation.
        lockstep: every picture once, in order, none dropped; `fps` is then without meaning.
        stall_s: so long without a picture is a lost camera.
        hung_s: so long in one call of the source ends the process.
        backoff: the waits between openings.

    Attributes:
        taken: pictures that `newest()` gave.
        dropped: pictures that were decoded and then overwritten by a newer one.
    """

    def __init__(
        self,
        source: Source,
        clock: Clock,
        fps: float,
        *,
        rotate_deg: int = 0,
        masks: Sequence[Box] = (),
        lockstep: bool = False,
        stall_s: float = 5.0,
        hung_s: float = 60.0,
        backoff: Backoff | None = None,
    ) -> None:
        self.taken = 0
        self.dropped = 0
        self._source = source
        self._clock = clock
        self._fps = fps
        self._lockstep = lockstep
        # A folder at one picture in ten seconds is no stalled camera.
        self._stall_s = max(stall_s, 2.0 / fps)
        self._hung_s = max(hung_s, 2.0 * self._stall_s)
        self._backoff = backoff or Backoff(first_s=0.5, cap_s=60.0, decay_s=60.0)
        self._rotate_deg = rotate_deg
        self._masks = tuple(masks)
        self._boxes: list[tuple[int, int, int, int]] = []
        self._shape: tuple[int, ...] = ()
        self._turned = Frame(np.zeros((0, 0, 3), np.uint8), 0.0)
        self._t_s = -math.inf
        self._taken_s = -math.inf
        self._lost_text: str | None = None
        self._dropped_before = 0
        self._driving = threading.Lock()
        self._capture: _Capture | None = None

    def __enter__(self) -> Self:
        self._capture = _Capture(
            self._source, self._clock, None if self._lockstep else Pacer(self._fps), self._backoff, self._driving
        )
        self._capture.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._capture is not None
        self._capture.leave(LEAVING_S)
        self._dropped_before += self._capture.slot.dropped

    def newest(self, timeout_s: float) -> Look:
        """The newest picture not yet seen, waited for at most `timeout_s`; at once where something went wrong.

        Returns:
            A `Frame`, borrowed until the next call; `Blind` on every call while there is none to be had; `End` after
            the last picture of a clip; None when nothing is new. `t_s` never goes backwards from call to call.

        Raises:
            CameraHung: the source has been stuck in one call for `hung_s`.
        """
        capture = self._capture
        assert capture is not None, "newest() is for inside `with`"
        frame = capture.slot.take(timeout_s)
        look: Look = None
        if frame is None:
            look = self._why_not(capture)
            if look is not None:
                frame = capture.slot.take(0.0)  # what came just before the trouble comes first
        self.dropped = self._dropped_before + capture.slot.dropped
        if frame is not None:
            return self._finished(frame)
        if look is not None:
            self._t_s = look.t_s
        if isinstance(look, Blind) and look.text != self._lost_text:
            log.warning("camera lost: %s", capture.story if capture.lost else look.text)
            self._lost_text = look.text
        return look

    def _finished(self, frame: Frame) -> Frame:
        if self._lost_text is not None:
            log.info("camera back")
            self._lost_text = None
        if frame.pixels.shape != self._shape:
            self._fit(frame.pixels.shape)
        t_s = frame.t_s
        if self._rotate_deg:
            rotate(frame.pixels, self._rotate_deg, self._turned.pixels)
            frame = self._turned
        blacken(frame.pixels, self._boxes)
        # A picture may have been taken before the moment at which its absence was reported.
        frame.t_s = self._t_s = max(t_s, self._t_s)
        self._taken_s = self._clock.monotonic()
        self.taken += 1
        return frame

    def _fit(self, shape: tuple[int, ...]) -> None:
        """Makes what depends on the picture's size."""
        self._shape = shape
        height_px, width_px = shape[:2]
        if self._rotate_deg in (90, 270):
            height_px, width_px = width_px, height_px
        if self._rotate_deg:
            self._turned = Frame(np.zeros((height_px, width_px, 3), np.uint8), 0.0)
        self._boxes = [mask.pixels(width_px, height_px) for mask in self._masks]

    def _why_not(self, capture: _Capture) -> Blind | End | None:
        now_s = self._clock.monotonic()
        if capture.fault is not None:
            raise capture.fault
        if capture.ended:
            return End(self._t_s if math.isfinite(self._t_s) else now_s)
        since_s = capture.call_since_s
        if since_s is not None and now_s - since_s > self._hung_s:
            raise CameraHung(
                f"the camera's driver has not returned from one call for {self._hung_s:g} s: restarting; "
                "if this repeats, check the camera's cable and power"
            )
        lost = capture.lost or self._stalled(capture, now_s)
        return Blind(max(now_s, self._t_s), *lost) if lost else None

    def _stalled(self, capture: _Capture, now_s: float) -> Lost | None:
        if capture.alive_s is None:
            limit_s = self._stall_s + OPENING_S
            if now_s - capture.started_s > limit_s:
                return "camera_lost", f"the camera has not opened for {limit_s:g} s: check its cable and power"
        elif now_s - max(capture.alive_s, self._taken_s) > self._stall_s:
            return "camera_lost", f"no picture for {self._stall_s:g} s: check the camera's cable and power"
        return None


class _Capture:
    """The capture thread's half of one stay in `with`: the thread writes, the loop reads.

    Attributes:
        started_s: when the thread was started.
        call_since_s: since when the thread is in its present call of the source; None between calls.
        alive_s: when the source last gave a picture or opened; None before its first opening.
        lost: why there is no picture, from a failure to the next picture.
        story: the same for the journal, with the camera's path.
        ended: the clip is over.
        fault: what ended the thread and was no camera trouble; the loop raises it.
    """

    def __init__(
        self, source: Source, clock: Clock, pacer: Pacer | None, backoff: Backoff, driving: threading.Lock
    ) -> None:
        self.slot = FrameSlot(lockstep=pacer is None)
        self.started_s = clock.monotonic()
        self.call_since_s: float | None = None
        self.alive_s: float | None = None
        self.lost: Lost | None = None
        self.story = ""
        self.ended = False
        self.fault: Exception | None = None
        self._source = source
        self._clock = clock
        self._pacer = pacer
        self._backoff = backoff
        self._driving = driving
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edged-capture", daemon=True)

    def start(self) -> None:
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
                    self._leaving.wait(self._session())
        except Exception as error:  # noqa: BLE001 - the loop raises it, see newest()
            self.fault = error
        self.slot.wake()

    def _session(self) -> float:
        """Drives the source from one opening to its closing: seconds to wait before the next one."""
        try:
            self._enters()
            width_px, height_px = self._source.open()
            self._returns()
            if self.slot.resize(width_px, height_px):
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
            self._enters()
            t_s = self._source.grab()
            self._returns()
            if t_s is None:
                self.ended = True
                return
            if self._pacer is not None and not self._pacer.is_due(t_s):
                continue
            frame = self.slot.back
            frame.t_s = t_s
            self._enters()
            self._source.retrieve(frame)
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
