"""Clips, pictures and folders of pictures, played as a camera.

Law: a frame's time is the clip's own, so that the same clip gives the same events; it goes on over loops and
re-openings and never back. Waits only for the pace, and only on `stop`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from edged.core.errors import CameraError
from edged.core.shot import PictureFormat, Shot
from edged.edges.camera_file_reels import Reel, reel_of
from edged.ports import Clock, Stop

CATCH_UP_S = 1.0
"""How much of a clip is skipped at once where the board cannot follow; beyond that its time goes on alone."""


class FileSource:
    """A `Source` that plays what is in a file or a folder.

    Args:
        path: a clip, a picture, or a folder of pictures, played in the order of their names.
        fps: pictures a second where the file itself tells none.
        pace: realtime: each frame at its time, late ones skipped; max: every frame, without waiting.
        at_end: loop: begin again; stop: `grab()` returns None.
        stop: set, it ends the waiting for the pace.
    """

    def __init__(
        self,
        path: Path,
        fps: float,
        pace: Literal["realtime", "max"],
        at_end: Literal["loop", "stop"],
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._path = path
        self._fps = fps
        self._realtime = pace == "realtime"
        self._loop = at_end == "loop"
        self._clock = clock
        self._stop = stop
        self._reel: Reel | None = None
        self._size = (0, 0)
        self._rate = fps
        self._t0_s = -math.inf
        self._index = 0

    def open(self) -> PictureFormat:
        """Opens the file: the format of its first picture, whose size all others are brought to."""
        next_s = self._t0_s + self._index / self._rate
        self._reel = reel_of(self._path)
        self._size = self._reel.open()
        self._rate = self._reel.rate or self._fps
        self._t0_s = max(self._clock.monotonic(), next_s)
        self._index = 0
        return PictureFormat(*self._size, "bgr")

    def grab(self) -> float | None:
        """The next picture's time, waited for where the pace is realtime; None at the end."""
        late = int((self._clock.monotonic() - self._t0_s) * self._rate) - self._index if self._realtime else 0
        if late > 0:
            for _ in range(min(late, math.ceil(self._rate * CATCH_UP_S))):
                if not self._turn(decode=False):
                    return None
            self._index += late
        if not self._turn(decode=True):
            return None
        t_s = self._t0_s + self._index / self._rate
        self._index += 1
        if self._realtime:
            early_s = t_s - self._clock.monotonic()
            if early_s > 0:
                self._stop.wait(early_s)
        return t_s

    def retrieve(self, out: Shot) -> None:
        """Writes the picture into `out.data`."""
        assert self._reel is not None
        self._reel.show(out.data.reshape(self._size[1], self._size[0], 3))
        out.size_bytes = out.data.size

    def close(self) -> None:
        """Closes the file."""
        if self._reel is not None:
            self._reel.close()
            self._reel = None

    def came_back(self) -> bool:
        """A file that is put back is found by the next opening."""
        return False

    def _turn(self, decode: bool) -> bool:
        """Goes to the next picture: False at the end where it is not to be looped."""
        assert self._reel is not None
        if self._reel.turn(decode):
            return True
        if not self._loop:
            return False
        self._reel.open()
        if not self._reel.turn(decode):
            raise CameraError("no picture is left to play", place=self._path)
        return True


def picture_px(path: Path) -> tuple[int, int]:
    """The size of the pictures of a clip or a folder: (width_px, height_px).

    Raises:
        CameraError: it cannot be played; one sentence that says why not.
    """
    reel = reel_of(path)
    try:
        return reel.open()
    finally:
        reel.close()
