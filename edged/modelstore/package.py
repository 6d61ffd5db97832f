"""A model folder that was verified: the manifest, the labels, and the hash of every file that the manifest names.

Law: reads and hashes, never writes, and never parses a tensor. A `Package` exists only of a folder whose every named
file is inside it and is what its manifest says.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edged.core.detections import Detections
from edged.core.errors import ModelError
from edged.core.types import Activation, InputSpec
from edged.modelstore import manifest, regular

MODEL = "model.tflite"
LABELS = "labels.txt"
MAX_LABELS_BYTES, MAX_LABELS, MAX_LABEL = 1 << 20, 50_000, 500
MAX_FILE_BYTES = 1 << 28
IDENTIFIER = b"TFL3"
"""At bytes 4..8 of every TFLite file: `file_identifier` of the flatbuffer schema of TensorFlow Lite."""

_OTHERS = {
    b"version https://git-lfs": "is a Git LFS pointer and not the model itself; fetch the model with git lfs pull",
    b"PK\x03\x04": "is a zip archive; unpack it and take the .tflite in it",
    b"\x1f\x8b": "is a gzip archive; unpack it and take the .tflite in it",
    b"\x7fELF": "is a program and no model (as an .eim of Edge Impulse is); export the model as TensorFlow Lite",
    b"\x89HDF": "is a Keras model (HDF5); convert it to TFLite",
}


@dataclass(frozen=True)
class Package:
    """One verified model folder.

    Attributes:
        sha256: of model.tflite, 64 hex digits.
        labels: in the order of the model's outputs.
        groups: names for sets of labels; whether the labels exist is for `core.labels.fit_model` to say.
        expires: judged by whoever has a synced clock.
        embedding_output: index of the output with pooled features.
        scores_output: of a classifier: index of the output with the scores; of a detector: which output holds what.
    """

    folder: Path
    name: str
    version: str
    task: str
    licence: str
    source: str
    expires: datetime.date | None
    model_path: Path
    sha256: str
    labels: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    input: InputSpec
    activation: Activation
    background: int | None
    embedding_output: int | None
    scores_output: int | Detections


def load(folder: Path) -> Package:
    """Reads a model folder and verifies every file that its manifest names.

    Raises:
        ModelError: something is missing, damaged or not what the manifest says; one sentence that names the file.
    """
    told = manifest.read(folder)
    for needed in (MODEL, LABELS):
        if needed not in told.files:
            raise ModelError(f"{folder / manifest.FILE_NAME}: [files] must give the sha256 of {needed}")
    for name in told.files:
        _check_place(folder, name)
    check_flatbuffer(folder / MODEL)
    for name, sha256 in told.files.items():
        _check_hash(folder / name, sha256)
    return Package(
        folder=folder,
        name=told.name,
        version=told.version,
        task=told.task,
        licence=told.licence,
        source=told.source,
        expires=told.expires,
        model_path=folder / MODEL,
        sha256=told.files[MODEL],
        labels=_labels(folder / LABELS),
        groups=dict(told.groups),
        input=InputSpec(told.input.color, told.input.fit, told.input.mean, told.input.std),
        activation=told.output.activation,
        background=told.output.background,
        embedding_output=told.embedding.output if told.embedding else None,
        scores_output=_scores_output(told),
    )


def _scores_output(told: manifest.Manifest) -> int | Detections:
    """What the manifest says, else the order of TFLite_Detection_PostProcess, or what is not the embedding."""
    said = told.output
    if told.task == "detect":
        keys = (said.boxes, said.classes, said.scores, said.count)
        return Detections(*(usual if index is None else index for usual, index in enumerate(keys)))
    if said.scores is not None:
        return said.scores
    return 1 if told.embedding is not None and told.embedding.output == 0 else 0


def _check_place(folder: Path, name: str) -> None:
    try:
        place = (folder / name).resolve(strict=True)
    except FileNotFoundError:
        raise ModelError(f"{folder / name}: there is no such file, and the manifest names it") from None
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{folder / name}: cannot be read ({error})") from None
    if not place.is_relative_to(folder.resolve()):
        raise ModelError(f"{folder / name}: is a link that leads out of the model's folder; put the file itself there")
    regular.check(folder / name)


def check_flatbuffer(path: Path, place: str | None = None) -> None:
    """Tells what people most often have in place of a model. A hash would only say that it is wrong.

    Args:
        place: what a person calls the file; left out: its path.

    Raises:
        ModelError: it is no TFLite model.
    """
    start = _read(path, 512)
    if start[4:8] == IDENTIFIER:
        return
    what = next((text for magic, text in _OTHERS.items() if start.startswith(magic)), None)
    if not start:
        what = "is empty, as after a download that failed; fetch it again"
    elif start.lstrip().startswith(b"<"):
        what = "is a web page and not a model; download the file itself (the raw link)"
    elif what is None and _is_text(start):
        what = "is a text file and not a model; expected a TFLite model"
    raise ModelError(f"{place or path}: {what or 'is no TFLite model; expected the bytes TFL3 near its beginning'}")


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", errors="replace").rstrip("\ufffd")  # the last character may be cut in two
    return all(one.isprintable() or one.isspace() for one in text)


def _check_hash(path: Path, sha256: str) -> None:
    try:
        with regular.opened(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > MAX_FILE_BYTES:
                raise ModelError(f"{path}: has {size_bytes} bytes; allowed are {MAX_FILE_BYTES}")
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    if found != sha256:
        raise ModelError(
            f"{path}: its sha256 is {found} and the manifest says {sha256}: "
            "the file is damaged or was changed; install the model again"
        )


def _labels(path: Path) -> tuple[str, ...]:
    data = _read(path, MAX_LABELS_BYTES + 1)
    if len(data) > MAX_LABELS_BYTES:
        raise ModelError(f"{path}: is larger than {MAX_LABELS_BYTES} bytes; expected one label a line")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ModelError(f"{path}: is no UTF-8 text; expected one label a line") from None
    labels = tuple(line.strip() for line in text.removesuffix("\n").split("\n"))
    if len(labels) > MAX_LABELS:
        raise ModelError(f"{path}: has {len(labels)} lines; allowed are {MAX_LABELS}, one label a line")
    first: dict[str, int] = {}
    for number, label in enumerate(labels, start=1):
        if not label or not label.isprintable() or len(label) > MAX_LABEL:
            raise ModelError(
                f"{path}:{number}: the line is empty, cannot be shown, or has more than {MAX_LABEL} characters; "
                "expected one label a line"
            )
        if first.setdefault(label, number) != number:
            raise ModelError(f"{path}:{number}: label {label!r} is already on line {first[label]}; each needs its own")
    return labels


def _read(path: Path, size_bytes: int) -> bytes:
    try:
        with regular.opened(path) as file:
            return file.read(size_bytes)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
