"""A model tried out before anybody relies on it: loaded, run over its golden pictures, timed. Part of the composition
root.

Law: `test` is the one place where a model that nobody knows yet is handed to the runtime.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edged.config import Config, outline, unknown_labels
from edged.core.errors import CameraError, ModelError
from edged.core.stats import Ring
from edged.core.types import FULL, Frame, ModelSpec, Region
from edged.edges.camera_file_stills import read_still
from edged.edges.tflite import Interpreter, TfliteClassifier, median_invoke_ms
from edged.models import open_model
from edged.modelstore import Package, manifest

GOLDEN = "golden/expected.json"
TOLERANCE = 0.02
MAX_GOLDEN_BYTES = 1 << 20
TIMED_INVOKES = 11
PICTURES = 8
SURE = 0.95
"""A model that is so sure of one label may well say the same of every picture that shows nothing."""


@dataclass(frozen=True)
class Tried:
    """A model that works.

    Attributes:
        invoke_ms: median wall time of an invoke, as long as nothing else kept the processor busy.
    """

    package: Package
    interpreter: Interpreter
    spec: ModelSpec
    invoke_ms: float


def test(name: str, threads: int, root: Path) -> Tried:
    """Loads a model, runs its golden pictures and a few of no meaning, and times it.

    Args:
        name: as for `open_model`.
        root: the state root.

    Raises:
        ModelError: it cannot be loaded, its scores are not those that it promises, or it sees no difference.
    """
    package, interpreter, spec = open_model(name, threads, root)
    classifier = TfliteClassifier(interpreter, spec, spec.labels, Ring(1), package.scores_output)
    _check_golden(package, classifier, spec)
    _check_difference(package, classifier, spec)
    return Tried(package, interpreter, spec, median_invoke_ms(interpreter, TIMED_INVOKES))


def check_rules(config: Config, package: Package) -> None:
    """Refuses a model that lacks the label of a rule.

    Raises:
        ModelError: every such rule.
    """
    wrong = [f"rule {config.rules[int(key[1])].name}: {text}" for key, text in unknown_labels(outline(config), package)]
    if wrong:
        raise ModelError(f"model {package.name} {package.version} does not fit the rules: {'; '.join(wrong)}")


def _check_golden(package: Package, classifier: TfliteClassifier, spec: ModelSpec) -> None:
    region = Region("full", FULL, spec.input.fit)
    for file, scores, tolerance in _golden(package):
        try:
            found = classifier.scores(Frame(read_still(file), 0.0), region)
        except CameraError as error:
            raise ModelError(f"{file}: {error}") from None
        for label, expected in scores.items():
            if label not in spec.labels:
                raise ModelError(f"{package.folder / GOLDEN}: names the label {label!r}, which labels.txt lacks")
            score = float(found[spec.labels.index(label)])
            if not abs(score - expected) <= tolerance:
                raise ModelError(
                    f"model {package.name} {package.version} failed its self-test: on {file.name} it gives "
                    f"{label!r} {score:.3f}, and its package promises {expected:.3f}; on this machine it does not "
                    "work as it did on its maker's"
                )


def _check_difference(package: Package, classifier: TfliteClassifier, spec: ModelSpec) -> None:
    """Refuses a model to which black, white and noise are all the same, and which is not even sure of what it says."""
    random = np.random.default_rng(1)
    width_px, height_px = spec.input_size
    noise = (random.integers(0, 256, (height_px, width_px, 3), np.uint8) for _ in range(PICTURES - 2))
    plain = (np.full((height_px, width_px, 3), level, np.uint8) for level in (0, 255))
    region = Region("full", FULL, spec.input.fit)
    found = [classifier.scores(Frame(picture, 0.0), region).copy() for picture in (*plain, *noise)]
    if all(np.array_equal(found[0], one) for one in found) and float(found[0].max()) < SURE:
        raise ModelError(
            f"model {package.name} {package.version} gives the same scores for every picture; expected one that sees "
            "a difference, get the model again"
        )


def _golden(package: Package) -> Iterator[tuple[Path, dict[str, float], float]]:
    """Pictures, the scores that they must give, and how far these may be off. None where the package has none."""
    files = manifest.read(package.folder).files
    path = package.folder / GOLDEN
    if GOLDEN not in files:
        return
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(MAX_GOLDEN_BYTES))
        tolerance = float(told.get("tolerance", TOLERANCE))
        inputs = [
            (one["file"], {str(top["label"]): float(top["score"]) for top in one["top"]}) for one in told["inputs"]
        ]
        if not math.isfinite(tolerance):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(
            f"{path}: expected inputs with a file and its top labels and scores, see docs/models.md"
        ) from None
    for name, scores in inputs:
        if f"golden/{name}" not in files:
            raise ModelError(f"{path}: names {name!r}, which is not among [files] of the manifest")
        yield package.folder / "golden" / name, scores, tolerance
