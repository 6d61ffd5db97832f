"""Boxes to scores against the sentence that says what they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core.detections import Detections, DetectionScorer, check_outputs
from edged.core.errors import ModelError
from edged.core.types import TensorSpec
from tests.fakes import model

LABELS = ("person", "bicycle", "class 2", "cat")
GROUPS = {"alive": ("person", "cat"), "any": LABELS}
WANTED = (*LABELS, *GROUPS)

boxes = st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(-1, 6)), max_size=12)


@given(boxes, st.integers(0, 20))
def test_a_label_is_its_best_box_and_a_group_its_best_label(found: list[tuple[float, int]], count: int) -> None:
    scores = np.array([score for score, _ in found], np.float32)
    classes = np.array([index for _, index in found], np.float32)
    best = [max((s for s, i in found[:count] if i == index), default=0.0) for index in range(len(LABELS))]
    expected = [*best, max(best[0], best[3]), max(best)]
    result = DetectionScorer(model(LABELS, GROUPS), WANTED).scores(scores, classes, float(count))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.array(expected, np.float32))


def test_what_stands_behind_the_count_means_nothing() -> None:
    scorer = DetectionScorer(model(LABELS), ("cat",))
    scores, classes = np.array([0.25, math.nan], np.float32), np.array([3, math.nan], np.float32)
    assert scorer.scores(scores, classes, 1.0) == [0.25]
    assert scorer.scores(scores, classes, 0.0) == [0.0]
    assert scorer.scores(scores, classes, -3.0) == [0.0]


def test_scores_are_borrowed_and_never_above_1() -> None:
    scorer = DetectionScorer(model(LABELS), ("cat", "cat"))
    first = scorer.scores(np.array([1.0001], np.float32), np.array([3], np.float32), 1.0)
    assert first.tolist() == [1.0, 1.0]
    assert scorer.scores(np.array([0.5], np.float32), np.array([3], np.float32), 9.0) is first
    assert first.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("score", "index", "count"), [(math.nan, 3, 1), (math.inf, 3, 1), (0.5, math.nan, 1), (0.5, 3, math.nan)]
)
def test_what_is_no_number_is_a_damaged_model(score: float, index: float, count: float) -> None:
    with pytest.raises(ModelError, match="not a number"):
        DetectionScorer(model(LABELS), ("cat",)).scores(
            np.array([score], np.float32), np.array([index], np.float32), count
        )


def test_an_unknown_label_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="nearest: person"):
        DetectionScorer(model(LABELS), ("persn",))


def floats(*shape: int) -> TensorSpec:
    return TensorSpec(shape, "float32", None)


class TestOutputs:
    """Refusals, one by one."""

    GOOD = (floats(1, 10, 4), floats(1, 10), floats(1, 10), floats(1))

    def test_what_fits(self) -> None:
        check_outputs("toy", Detections(0, 1, 2, 3), self.GOOD)
        check_outputs("toy", Detections(3, 2, 1, 0), self.GOOD[::-1])

    @pytest.mark.parametrize(
        ("outputs", "fragment"),
        [
            (GOOD[:3], "model.tflite has 3; expected four"),
            ((floats(1, 9, 4), *GOOD[1:]), "found (1, 9, 4)"),
            ((*GOOD[:3], floats(2)), "and (2,)"),
            ((GOOD[0], floats(1, 11), *GOOD[2:]), "(1, 11)"),
            ((*GOOD[:2], TensorSpec((1, 10), "uint8", None), GOOD[3]), "expected float32"),
        ],
    )
    def test_what_does_not(self, outputs: tuple[TensorSpec, ...], fragment: str) -> None:
        with pytest.raises(ModelError) as caught:
            check_outputs("toy", Detections(0, 1, 2, 3), outputs)
        assert fragment in str(caught.value)

    def test_two_of_one_output(self) -> None:
        with pytest.raises(ModelError, match="expected four different ones"):
            check_outputs("toy", Detections(0, 1, 1, 3), self.GOOD)
