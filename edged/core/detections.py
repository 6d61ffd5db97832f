"""From a detector's outputs to scores: a label's score is that of its best box, a group's that of its best label.

Law: as `core.labels`: what is wanted of a model, and nothing about where the boxes are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.core.errors import ModelError
from edged.core.labels import members_of_each
from edged.core.types import ModelSpec, Scores, TensorSpec


@dataclass(frozen=True, slots=True)
class Detections:
    """Which output of a detector holds what, as TFLite_Detection_PostProcess writes them.

    Attributes:
        boxes: (1, n, 4) float32, read by nobody: a region says where.
        classes: (1, n) float32, whole numbers from 0, which are the lines of labels.txt.
        scores: (1, n) float32 in 0..1.
        count: (1,) float32: how many of the n there are.
    """

    boxes: int
    classes: int
    scores: int
    count: int


def check_outputs(name: str, found: Detections, outputs: Sequence[TensorSpec]) -> None:
    """Whether the outputs of a model are those of a detector.

    Raises:
        ModelError: they are not; one sentence.
    """
    indices = (found.boxes, found.classes, found.scores, found.count)
    if len(set(indices)) != 4 or max(indices) >= len(outputs):
        raise ModelError(
            f"model {name}: [output] names the outputs {indices} for boxes, classes, scores and count, and "
            f"model.tflite has {len(outputs)}; expected four different ones, numbered from 0"
        )
    boxes, classes, scores, count = (outputs[index] for index in indices)
    length = math.prod(scores.shape)
    if any(one.dtype != "float32" for one in (boxes, classes, scores, count)):
        raise ModelError(f"model {name}: expected float32 boxes, classes, scores and count of a detector")
    if math.prod(count.shape) != 1 or math.prod(classes.shape) != length or boxes.shape[-2:] != (length, 4):
        raise ModelError(
            f"model {name}: expected boxes (1, n, 4), classes (1, n), scores (1, n) and a count, found {boxes.shape}, "
            f"{classes.shape}, {scores.shape} and {count.shape}; correct boxes, classes, scores and count of [output]"
        )


class DetectionScorer:
    """Scores of a few wanted labels from the boxes of a detector.

    Args:
        spec: the model.
        wanted: labels and groups, in the order of the result.

    Raises:
        KeyError: a wanted label is unknown, see `core.labels.members`.
    """

    def __init__(self, spec: ModelSpec, wanted: Iterable[str]) -> None:
        columns: dict[int, list[int]] = {}
        self.wanted = tuple(wanted)
        for column, indices in enumerate(members_of_each(spec, self.wanted)):
            for index in indices:
                columns.setdefault(index, []).append(column)
        self._columns = columns
        self._scores: Scores = np.empty(len(self.wanted), dtype=np.float32)

    def scores(self, scores: NDArray[Any], classes: NDArray[Any], count: float) -> Scores:
        """Scores in 0..1 of one picture; 0 for what is in no box.

        Args:
            scores, classes: (n,) float32; read, not kept.
            count: how many of them there are; what stands behind them means nothing.

        Returns:
            (wanted,) float32, borrowed until the next call.

        Raises:
            ModelError: the model gave no number (NaN or infinity).
        """
        if not math.isfinite(count):
            raise ModelError("the model's count of boxes is not a number: it is damaged")
        found = self._scores
        found[:] = 0.0
        boxes = max(min(int(count), len(scores)), 0)
        # Plain Python on purpose, as in `core.labels.Scorer`: there are ten to a hundred boxes.
        for score, index in zip(scores[:boxes].tolist(), classes[:boxes].tolist(), strict=True):
            if not math.isfinite(score) or not math.isfinite(index):
                raise ModelError("the model's output is not a number: it is damaged, or was fed what it cannot bear")
            for column in self._columns.get(int(index), ()):
                if score > found[column]:
                    found[column] = min(score, 1.0)
        return found
