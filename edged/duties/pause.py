"""Closing the camera while nobody may look: a camera around a camera, so that the loop need not know of pauses."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from edged.core.types import Blind, Look
from edged.ports import Camera, Clock, Stop


class PausableCamera:
    """A camera that is closed while it is paused.

    Args:
        camera: left and entered again as pauses come and go.
        paused: why there is a pause, as a word of `D/pipeline`; None while there is none.
        stop: ends the waiting within a pause.
    """

    def __init__(self, camera: Camera, paused: Callable[[], str | None], clock: Clock, stop: Stop) -> None:
        self._camera, self._paused, self._clock, self._stop = camera, paused, clock, stop
        self._open = False
        self._t_s = -math.inf

    @property
    def dropped(self) -> int:
        """Of the camera."""
        return self._camera.dropped

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._open = False
            self._camera.__exit__(kind, error, trace)

    def newest(self, timeout_s: float) -> Look:
        """The camera's newest picture; `Blind` with the reason "paused" during a pause."""
        reason = self._paused()
        if reason is not None:
            self.__exit__(None, None, None)
            self._stop.wait(timeout_s)
            self._t_s = max(self._t_s, self._clock.monotonic())
            return Blind(self._t_s, "paused", reason)
        if not self._open:
            self._camera.__enter__()
            self._open = True
        look = self._camera.newest(timeout_s)
        if look is not None:
            self._t_s = max(self._t_s, look.t_s)
        return look
