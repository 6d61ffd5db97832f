"""Where the model of a running device sits, and what follows when another takes over. Part of the composition root.

Law: between two frames, in the loop's thread, and nothing that takes time; but for `clear`, which is an errand.
"""

from __future__ import annotations

from collections.abc import Callable

from edged import parts
from edged.config import Config
from edged.core.activation import Signs
from edged.core.pipeline import Pipeline
from edged.core.stats import Ring
from edged.duties.classifier import ChangingClassifier
from edged.edges import memory
from edged.edges.camera import CaptureCamera
from edged.edges.outbox_fallback import DurableOutbox
from edged.edges.tflite import Interpreter
from edged.stock import Occupant
from edged.vitals import Vitals


class Seat:
    """The seat of one device.

    Args:
        occupant: the model that judges from the start.
        check: told of each interpreter that begins to judge.
    """

    def __init__(
        self,
        occupant: Occupant,
        config: Config,
        classifier: ChangingClassifier,
        camera: CaptureCamera,
        outbox: DurableOutbox,
        vitals: Vitals,
        pipeline: Pipeline,
        invoke_ms: Ring,
        check: Callable[[Interpreter], object],
    ) -> None:
        self._config, self._classifier, self._camera = config, classifier, camera
        self._outbox, self._vitals, self._pipeline, self._invoke_ms = outbox, vitals, pipeline, invoke_ms
        self._check = check
        self._occupant = occupant
        self._spare: Occupant | None = None

    def take(self, prepared: Occupant) -> None:
        """It judges from now on; the one before stays at hand."""
        self._spare = before = self._occupant
        self._sit(prepared, before)

    def give_back(self) -> bool:
        """The one before judges again; False where there is none at hand."""
        before, self._spare = self._spare, self._occupant
        if before is None:
            self._spare = None
            return False
        self._sit(before, self._occupant)
        return True

    def signs(self) -> Signs:
        """How the one that judges does."""
        figures = self._invoke_ms.percentiles()
        return Signs(
            is_looking=self._pipeline.state == "running",
            invokes=self._invoke_ms.count,
            p95_ms=None if figures is None else figures.p95,
            memory=self._vitals.memory_trouble(),
        )

    def slowest_ms(self) -> float | None:
        """What an invoke takes now, but for one in twenty."""
        figures = self._invoke_ms.percentiles()
        return None if figures is None else figures.p95

    def clear(self) -> None:
        """Lets go of the one that does not judge."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.interpreter.close()
            del spare
            memory.give_back()
            self._vitals.begin()

    def _sit(self, occupant: Occupant, before: Occupant) -> None:
        self._occupant = occupant
        self._classifier.change(occupant.classifier, occupant.regions)
        self._invoke_ms.clear()
        self._outbox.use_model(parts.identity(occupant.spec))
        self._vitals.change(occupant.spec, occupant.threads)
        self._check(occupant.interpreter)
        if (occupant.regions, occupant.spec.input_size) != (before.regions, before.spec.input_size):
            self._camera.rescale(parts.scale(self._config, occupant.regions, occupant.spec.input_size))
