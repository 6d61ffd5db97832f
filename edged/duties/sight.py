"""Not showing what cannot be trusted: a camera around a camera, so that the loop need not know of frozen pictures."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from edged.core.errors import CameraError
from edged.core.sight import SENTENCES, Sight
from edged.core.types import Blind, Frame, Look
from edged.ports import Camera

log = logging.getLogger("edged.sight")


class DiscerningCamera:
    """A camera whose pictures are judged before anyone sees them.

    Args:
        camera: entered and left with this one.
        sight: the judge, for this camera alone.
        reopen: has the camera opened anew; asked once an outage, where the picture is frozen: that may mend it.
    """

    def __init__(
        self, camera: Camera, sight: Sight, reopen: Callable[[CameraError], None] = lambda _error: None
    ) -> None:
        self._camera, self._sight, self._reopen = camera, sight, reopen
        self._t_s = -math.inf
        self._since_s = 0.0
        self._said: set[str] = set()

    @property
    def dropped(self) -> int:
        """Of the camera."""
        return self._camera.dropped

    def __enter__(self) -> Self:
        self._camera.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sight.interrupt()
        self._camera.__exit__(kind, error, trace)

    def newest(self, timeout_s: float) -> Look:
        """What the camera gives; `Blind` with the reason "camera_fault" for a picture that cannot be trusted.

        Raises:
            CameraHung: as the camera.
        """
        look = self._camera.newest(timeout_s)
        if look is None:
            return None
        self._t_s = max(self._t_s, look.t_s)
        if isinstance(look, Blind):
            self._sight.interrupt()
        if not isinstance(look, Frame):
            return look
        text = self._sight.judge(look)
        self._report(text)
        return look if text is None else Blind(self._t_s, "camera_fault", text)

    def _report(self, text: str | None) -> None:
        """Logs an outage once down, in each of its sentences, and once up."""
        if text is None:
            if self._said:
                log.info("the picture can be trusted again, after %.0f s", self._t_s - self._since_s)
                self._said.clear()
        elif text not in self._said:
            if not self._said:
                self._since_s = self._t_s
            self._said.add(text)
            log.warning("camera fault: %s", text)
            if text == SENTENCES["frozen"]:
                self._reopen(CameraError(text, "camera_fault"))
