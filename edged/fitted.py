"""What is known before the start, and what a run came to: plain values of the composition root."""

from __future__ import annotations

from dataclasses import dataclass

from edged.core.activation import Record
from edged.core.stats import Ring
from edged.core.types import ModelSpec, Region, Rule
from edged.edges.tflite import Interpreter
from edged.modelstore import Package


@dataclass(frozen=True)
class Fitted:
    """A configuration and a model that fit each other.

    Attributes:
        interpreter: the model as it was loaded to find that out, with one thread.
        picture_px: (width_px, height_px) before turning: of the clip, or what the camera is asked for; None for a
            network camera, whose stream decides.
        record: how things stand with the versions of the model; None where there is nothing to choose from.
    """

    package: Package
    interpreter: Interpreter
    spec: ModelSpec
    regions: tuple[Region, ...]
    rules: tuple[Rule, ...]
    picture_px: tuple[int, int] | None
    record: Record | None = None


@dataclass(frozen=True)
class Report:
    """What a run came to, for whoever asked for it.

    Attributes:
        events: decided and numbered.
        acknowledged: of those, how many the broker has.
    """

    frames: int
    dropped: int
    events: int
    acknowledged: int
    invoke_ms: Ring

    @property
    def invoke_p50_ms(self) -> float | None:
        """Median wall time of the last invokes; None before the first."""
        percentiles = self.invoke_ms.percentiles()
        return percentiles.p50 if percentiles else None
