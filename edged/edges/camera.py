"""The camera as the loop sees it: one capture thread that drives a source, and the newest picture it gave.

Law: the loop's side never waits longer than it was told, whatever the capture thread is stuck in. Every picture is
masked before `newest()` returns it: no later line sees an unmasked pixel. Knows no kind of camera (that is a `Source`)
and no cv2.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from edged.core.backoff import Backoff
from edged.core.errors import CameraError, CameraHung
from edged.core.shot import DAMAGED_IN_A_ROW, PictureFormat, Shot
from edged.core.types import Blind, Box, End, Frame, Look
from edged.edges.capture import Capture, Lost
from edged.edges.frames import Pacer
from edged.edges.pixels_shot import Developer
from edged.ports import Clock, Source

log = logging.getLogger("edged.camera")

OPENING_S = 10.0
"""How much longer than a stall the first opening may take before it counts as lost."""
LEAVING_S = 2.0
"""How long leaving waits for the capture thread; one that is stuck in a driver is left behind."""
MAX_TOLD = 20
"""More reasons than that in one outage would be a log that grows."""


class CaptureCamera:
    """A `Camera`: masked pictures from a source that is re-opened for ever.

    Args:
        source: driven by the capture thread alone.
        fps: pictures wanted a second; what is grabbed beyond that is never decoded.
        rotate_deg: 0, 90, 180 or 270, clockwise.
        masks: blacked out, fractions of the picture after rotation.
        least_scale: from the size of the source's pictures, (width_px, height_px), how far they may be shrunk before
            a region loses what the model would see, at most 1.
        lockstep: every picture once, in order, none dropped; `fps` is then without meaning.
        stall_s: so long without a picture is a lost camera.
        hung_s: so long in one call of the source ends the process.
        backoff: the waits between openings.

    Attributes:
        taken: pictures that `newest()` gave.
        dropped: pictures that were due and then overwritten by a newer one.
        damaged: pictures that could not be decoded.
    """

    def __init__(
        self,
        source: Source,
        clock: Clock,
        fps: float,
        *,
        rotate_deg: int = 0,
        masks: Sequence[Box] = (),
        least_scale: Callable[[int, int], float] = lambda _width_px, _height_px: 1.0,
        lockstep: bool = False,
        stall_s: float = 5.0,
        hung_s: float = 60.0,
        backoff: Backoff | None = None,
    ) -> None:
        self.taken = 0
        self.dropped = 0
        self.damaged = 0
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
        self._least_scale = least_scale
        self._developer: Developer | None = None
        self._damaged_in_a_row = 0
        self._undecodable: Lost | None = None
        self._t_s = -math.inf
        self._taken_s = -math.inf
        self._lost_s: float | None = None
        self._told: set[str] = set()
        self._said_elsewhere: str | None = None
        self._dropped_before = 0
        self._driving = threading.Lock()
        self._capture: Capture | None = None

    def __enter__(self) -> Self:
        self._damaged_in_a_row, self._undecodable = 0, None
        self._lost_s, self._said_elsewhere = None, None
        self._told.clear()
        self._capture = Capture(
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
        frame = self._frame(capture.slot.take(timeout_s))
        look: Look = None
        if frame is None:
            look = self._why_not(capture)
            if look is not None:
                frame = self._frame(capture.slot.take(0.0))  # what came just before the trouble comes first
        self.dropped = self._dropped_before + capture.slot.dropped
        if frame is not None:
            return self._seen(frame)
        if look is not None:
            self._t_s = look.t_s
        if isinstance(look, Blind):
            self._tell(look, capture.story if capture.lost else look.text)
        return look

    @property
    def decoded(self) -> int:
        """How often a JPEG picture was decoded, since the pictures have the format that they have."""
        return 0 if self._developer is None else self._developer.decoded

    def rescale(self, least_scale: Callable[[int, int], float]) -> None:
        """Makes pictures of another size from the next one on, see the constructor; between two `newest()`."""
        self._least_scale, self._developer = least_scale, None

    def reopen(self, error: CameraError) -> None:
        """Has the source opened anew, as if it had failed with that error: what it delivers is no good.

        Whoever asks has said so already: nothing is logged of it here.
        """
        self._said_elsewhere = error.text
        if self._capture is not None:
            self._capture.complaint = error

    def _frame(self, taken: tuple[Shot, PictureFormat] | None) -> Frame | None:
        """The shot as a frame; None where there is none, or it is damaged."""
        if taken is None:
            return None
        shot, picture_format = taken
        if self._developer is None or self._developer.format != picture_format:
            scale = self._least_scale(picture_format.width_px, picture_format.height_px)
            self._developer = Developer(picture_format, self._rotate_deg, self._masks, scale)
        try:
            frame = self._developer.frame(shot)
        except CameraError as error:
            self._damage(error)
            return None
        self._damaged_in_a_row, self._undecodable = 0, None
        return frame

    def _damage(self, error: CameraError) -> None:
        self.damaged += 1
        self._damaged_in_a_row += 1
        if error.reason == "camera_fault":
            self._complain(error)
        elif self._damaged_in_a_row % DAMAGED_IN_A_ROW == 0:
            text = "its pictures cannot be decoded: check the camera's cable, or ask for a smaller picture"
            self._complain(CameraError(text, "camera_fault"))

    def _complain(self, error: CameraError) -> None:
        assert self._capture is not None
        self._undecodable = ("camera_fault", error.text)
        self._capture.complaint = error

    def _seen(self, frame: Frame) -> Frame:
        now_s = self._clock.monotonic()
        if self._lost_s is not None:
            log.info("camera back after %.0f s", now_s - self._lost_s)
            self._lost_s = None
            self._told.clear()
        # A picture may have been taken before the moment at which its absence was reported.
        frame.t_s = self._t_s = max(frame.t_s, self._t_s)
        self._taken_s = now_s
        self.taken += 1
        return frame

    def _tell(self, blind: Blind, story: str) -> None:
        """Each reason once an outage, however often it comes and goes."""
        if blind.text == self._said_elsewhere:
            return
        if self._lost_s is None:
            self._lost_s = self._clock.monotonic()
        if blind.text not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(blind.text)
            log.warning("camera lost: %s", story)

    def _why_not(self, capture: Capture) -> Blind | End | None:
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
        lost = capture.lost or self._undecodable or self._stalled(capture, now_s)
        return Blind(max(now_s, self._t_s), *lost) if lost else None

    def _stalled(self, capture: Capture, now_s: float) -> Lost | None:
        if capture.alive_s is None:
            limit_s = self._stall_s + OPENING_S
            if now_s - capture.started_s > limit_s:
                return "camera_lost", f"the camera has not opened for {limit_s:g} s: check its cable and power"
        elif now_s - max(capture.alive_s, self._taken_s) > self._stall_s:
            return "camera_lost", f"no picture for {self._stall_s:g} s: check the camera's cable and power"
        return None
