"""Which regions of a frame are due to be classified. A frame that the gate lets pass costs an `invoke()` a region."""

from __future__ import annotations

from collections.abc import Sequence

from edged.core.types import Frame, Region


class EveryRegion:
    """Lets every region of every frame pass."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self._regions = tuple(regions)

    def due(self, frame: Frame) -> Sequence[Region]:
        """The regions to classify in this frame."""
        return self._regions
