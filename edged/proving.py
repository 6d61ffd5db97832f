"""Whether a model loads, runs, and gives the scores that it promises, found out in a process of its own. Part of the
composition root.

Law: no byte of a model that was never loaded on this board reaches the runtime in this process before it was proven
here. What was proven is remembered by the hash of the file, for this runtime and this board.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edged.core.detections import Detections, check_outputs
from edged.core.errors import ModelError
from edged.core.labels import fit_model
from edged.core.stats import Ring
from edged.core.types import FULL, Frame, ModelSpec, Region, TensorSpec
from edged.edges import board
from edged.edges.state_folder import StateFolder, state_root
from edged.edges.tflite import RUNTIME, TfliteClassifier
from edged.edges.tflite_cell import Cell
from edged.edges.tflite_process import Bounds
from edged.modelstore import Package, bundled, manifest
from edged.modelstore.package import MODEL

GOLDEN = "golden/expected.json"
TOLERANCE = 0.02
MAX_GOLDEN_BYTES = 1 << 20
MAX_PICTURES, MAX_LABELS = 100, 250
KNOWN, KNOWN_PICTURE = "shapes-int8", "golden/circle.png"
"""The model that ships on which the runtime warms up, and a picture of it."""
MEANINGLESS = 8
SURE = 0.95
"""A model that is so sure of one label may well say the same of every picture that shows nothing."""
KEPT = "proven.json"
MAX_KEPT = 100
INVOKES = 5
OWN_BYTES, OWN_SHARE, TIMES_FILE = 128 << 20, 1 / 3, 4
"""Memory of a model: so much, and so many times its file; at most that share of the board's."""


@dataclass(frozen=True)
class Proof:
    """What was found out about a package that works.

    Attributes:
        spec: the model, fitted to its tensors.
        invoke_ms: median wall time of an inference with one thread.
        pictures: how many golden pictures it was tested on.
    """

    spec: ModelSpec
    invoke_ms: float
    pictures: int


@dataclass(frozen=True)
class Picture:
    """A golden picture, the scores that it must give, and how far these may be off."""

    file: Path
    scores: Mapping[str, float]
    tolerance: float


def prove(package: Package, root: Path | None = None) -> Proof:
    """Loads a model, runs its golden pictures and a few of no meaning, and measures it: in another process, from any
    thread.

    Args:
        root: the state root, where it is noted that this model may be loaded; `state_root()` where it is left out.

    Raises:
        ModelError: it cannot be loaded, its scores are not those that it promises, or it sees no difference.
        RunError: it could not be tried, which says nothing about the model.
    """
    pictures = tuple(_golden(package))
    with _cell(package, with_pictures=bool(pictures)) as cell:
        spec = fit(package, cell.input, cell.outputs)
        _compare(package, spec, cell, pictures)
        _check_difference(package, spec, cell)
        for _ in range(INVOKES):
            cell.invoke()
        invoke_ms = float(np.median(cell.times_ms[-INVOKES + 1 :]))
    _remember(package, root, invoke_ms)
    return Proof(spec, invoke_ms, len(pictures))


def prove_once(package: Package, root: Path | None = None) -> None:
    """Loads and runs a model in another process, unless that was done on this board before or it came with edged.

    Raises:
        ModelError: it cannot be loaded.
        RunError: it could not be tried, which says nothing about the model.
    """
    if package.folder.parent == bundled() or package.sha256 in _kept(root):
        return
    with _cell(package) as cell:
        fit(package, cell.input, cell.outputs)
        cell.invoke()
    _remember(package, root)


def fit(package: Package, input_tensor: TensorSpec, outputs: Sequence[TensorSpec]) -> ModelSpec:
    """Puts a package and the tensors of its model together.

    Raises:
        ModelError: they do not fit.
    """
    told = package.scores_output
    if isinstance(told, Detections):
        check_outputs(package.name, told, outputs)
    scores = told.scores if isinstance(told, Detections) else told
    needed = max(scores, package.embedding_output or 0) + 1
    if len(outputs) < needed:
        raise ModelError(
            f"model {package.name}: its manifest speaks of {needed} outputs and model.tflite has "
            f"{len(outputs)}; correct scores of [output], or [embedding]"
        )
    return fit_model(
        package.name,
        package.version,
        package.sha256,
        package.labels,
        package.groups,
        package.input,
        package.activation,
        package.background,
        input_tensor,
        outputs[scores],
        detects=isinstance(told, Detections),
    )


def _cell(package: Package, *, with_pictures: bool = False) -> Cell:
    try:
        size_bytes = package.model_path.stat().st_size
    except OSError as error:
        raise ModelError(f"{package.model_path}: cannot be read ({error.strerror})") from None
    memory_bytes = OWN_BYTES + TIMES_FILE * size_bytes
    total_mb = board.total_mb()
    if total_mb is not None:
        memory_bytes = min(memory_bytes, int(total_mb * 1e6 * OWN_SHARE))
    known = bundled() / KNOWN
    picture = known / KNOWN_PICTURE if with_pictures else None
    return Cell(package.model_path, package.sha256, known / MODEL, Bounds(memory_bytes), picture)


def _compare(package: Package, spec: ModelSpec, cell: Cell, pictures: Sequence[Picture]) -> None:
    """Runs the golden pictures as frames of a camera go through the model."""
    wanted = tuple(dict.fromkeys(label for one in pictures for label in one.scores))
    for label in wanted:
        if label not in spec.labels:
            raise ModelError(f"{package.folder / GOLDEN}: names the label {label!r}, which labels.txt lacks")
    if not wanted:
        return
    classifier = TfliteClassifier(cell, spec, wanted, Ring(1), package.scores_output)
    region = Region("full", FULL, spec.input.fit)
    for picture in pictures:
        found = classifier.scores(Frame(cell.picture(picture.file), 0.0), region)
        for label, expected in picture.scores.items():
            score = float(found[wanted.index(label)])
            if not abs(score - expected) <= picture.tolerance:
                raise ModelError(
                    f"model {package.name} {package.version} failed its self-test: on {picture.file.name} it gives "
                    f"{label!r} {score:.3f}, and its package promises {expected:.3f}; on this machine it does not "
                    "work as it did on its maker's"
                )


def _check_difference(package: Package, spec: ModelSpec, cell: Cell) -> None:
    """Refuses a model to which black, white and noise are all the same, and which is not even sure of what it says.

    A model that is sure of something, or that there is nothing, may well say the same of every picture without a
    meaning; and so may a detector, which finds nothing in them.
    """
    output = package.scores_output
    if isinstance(output, Detections):
        return
    random = np.random.default_rng(1)
    width_px, height_px = spec.input_size
    region, seen = Region("full", FULL, spec.input.fit), []
    classifier = TfliteClassifier(cell, spec, spec.labels[:1], Ring(1), output)
    plain = (np.full((height_px, width_px, 3), level, np.uint8) for level in (0, 255))
    noise = (random.integers(0, 256, (height_px, width_px, 3), np.uint8) for _ in range(MEANINGLESS - 2))
    for picture in (*plain, *noise):
        classifier.scores(Frame(picture, 0.0), region)
        seen.append(cell.output_views[output]().reshape(-1).copy())
    if not all(np.array_equal(seen[0], one) for one in seen):
        return
    top = spec.labels[int(np.argmax(seen[0]))]
    score = float(TfliteClassifier(cell, spec, (top,), Ring(1), output).read()[0])
    if (0.0 if spec.activation == "softmax" else 1.0 - SURE) <= score < SURE:
        raise ModelError(
            f"model {package.name} {package.version} gives the same scores for every picture; expected one that sees "
            "a difference, get the model again"
        )


def _golden(package: Package) -> Iterator[Picture]:
    """The golden pictures of a package; a package without any gives none.

    Raises:
        ModelError: what it promises cannot be read, names what is not there, or is too much.
    """
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise ModelError(
            f"{path}: expected inputs with a file and its top labels and scores, see docs/models.md"
        ) from None
    labels = {label for _, scores in inputs for label in scores}
    if len(inputs) > MAX_PICTURES or len(labels) > MAX_LABELS:
        raise ModelError(
            f"{path}: has {len(inputs)} pictures and names {len(labels)} labels; leave some out, allowed are "
            f"{MAX_PICTURES} pictures and {MAX_LABELS} labels"
        )
    for name, scores in inputs:
        if f"golden/{name}" not in files:
            raise ModelError(f"{path}: names {name!r}, which is not among [files] of the manifest")
        yield Picture(package.folder / "golden" / name, scores, tolerance)


def _here() -> str:
    return f"{RUNTIME} {board.model_name()}"


def proven_ms(root: Path | None = None) -> dict[str, float]:
    """What an inference with one thread took when `prove` measured it here: milliseconds, by the hash of the file."""
    times = ((sha256, one.get("invoke_ms")) for sha256, one in _kept(root).items())
    return {sha256: ms for sha256, ms in times if isinstance(ms, float) and 0 < ms < math.inf}


def _kept(root: Path | None) -> dict[str, dict[str, Any]]:
    """What was proven on this board, the newest last."""
    kept, here = StateFolder(root or state_root()).read(KEPT), _here()
    return {sha256: one for sha256, one in kept.items() if isinstance(one, dict) and one.get("on") == here}


def _remember(package: Package, root: Path | None, invoke_ms: float | None = None) -> None:
    """A disk that cannot note it is no reason to stop: then it is tried again at the next start."""
    others = [(sha256, one) for sha256, one in _kept(root).items() if sha256 != package.sha256]
    told = {"on": _here(), "invoke_ms": None if invoke_ms is None else round(invoke_ms, 3)}
    StateFolder(root or state_root()).write(KEPT, {**dict(others[-MAX_KEPT + 1 :]), package.sha256: told})
