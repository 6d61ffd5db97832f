"""Models that come and go behind one classifier, so that the loop need not know of them.

Law: a model changes between two frames, never within one. What a model on probation cannot judge is judged at once by
the one before: no frame is lost to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edged.core.errors import ModelError
from edged.core.types import Frame, Region, Scores


class Judge(Protocol):
    """A classifier that knows when it was asked last.

    Attributes:
        last_t_s: when the frame that was classified last was taken; None before the first.
    """

    last_t_s: float | None

    def scores(self, frame: Frame, region: Region) -> Scores:
        """(wanted,) float32 in 0..1, borrowed until the next call."""


class ChangingClassifier:
    """The classifier of the loop.

    Args:
        judge: what judges from the beginning.
        regions: of the device, as that model wants them fitted.

    Attributes:
        on_fault: told why a model failed; whether another one is in its place by then.
    """

    def __init__(self, judge: Judge, regions: Sequence[Region]) -> None:
        self.on_fault: Callable[[str], bool] = lambda _: False
        self.change(judge, regions)

    @property
    def last_t_s(self) -> float | None:
        """When the frame that was classified last was taken."""
        return self._judge.last_t_s

    def change(self, judge: Judge, regions: Sequence[Region]) -> None:
        """From the next frame on this one judges; between two frames only, or in `on_fault`."""
        self._judge, self._regions = judge, {region.name: region for region in regions}

    def scores(self, frame: Frame, region: Region) -> Scores:
        """(wanted,) float32 in 0..1, borrowed until the next call.

        Raises:
            ModelError: the model failed, and there is no other.
        """
        try:
            return self._judge.scores(frame, self._regions[region.name])
        except ModelError as error:
            if not self.on_fault(str(error)):
                raise
        return self._judge.scores(frame, self._regions[region.name])
