"""Models that come and go behind one classifier: each gets the regions as it wants them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edged.core.errors import ModelError
from edged.core.types import FULL, Frame, Region, Scores
from edged.duties.classifier import ChangingClassifier
from tests.fakes import REGION, frame

DOOR = Region("door", FULL, "stretch")


class Judge:
    def __init__(self, score: float, error: ModelError | None = None) -> None:
        self.last_t_s: float | None = None
        self.fits: list[str] = []
        self._score, self._error = score, error

    def scores(self, frame: Frame, region: Region) -> Scores:
        if self._error is not None:
            raise self._error
        self.last_t_s = frame.t_s
        self.fits.append(f"{region.name} {region.fit}")
        return np.array([self._score], np.float32)


def test_a_region_is_fitted_as_the_model_wants_it() -> None:
    one, two = Judge(0.1), Judge(0.9)
    classifier = ChangingClassifier(one, [REGION, DOOR])
    assert classifier.scores(frame(1.0), DOOR)[0] == np.float32(0.1)
    classifier.change(two, [REGION, replace(DOOR, fit="letterbox")])
    # The gate gives the regions as they were at the start.
    assert classifier.scores(frame(2.0), DOOR)[0] == np.float32(0.9)
    assert (one.fits, two.fits) == (["door stretch"], ["door letterbox"])
    assert classifier.last_t_s == 2.0


def test_what_one_cannot_judge_another_judges_at_once() -> None:
    broken, good = Judge(0.1, ModelError("no number")), Judge(0.9)
    classifier = ChangingClassifier(broken, [REGION])
    told = []

    def on_fault(reason: str) -> bool:
        told.append(reason)
        classifier.change(good, [REGION])
        return True

    classifier.on_fault = on_fault
    assert classifier.scores(frame(3.0), REGION)[0] == np.float32(0.9)
    assert (told, good.last_t_s) == (["no number"], 3.0)


def test_without_another_the_error_stays_what_it_is() -> None:
    classifier = ChangingClassifier(Judge(0.1, ModelError("no number")), [REGION])
    with pytest.raises(ModelError, match="no number"):
        classifier.scores(frame(3.0), REGION)
