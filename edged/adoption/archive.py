"""What a person has: a `.tflite`, or a zip with one in it, and the labels that came along.

Law: reads with bounds and writes one file, the model, to the place that it is given. Names in a zip are compared and
never used as paths; nothing is unpacked by its own name, and nothing of it is executed.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from edged.core.errors import ModelError
from edged.modelstore import regular
from edged.modelstore.package import IDENTIFIER, LABELS, MAX_LABELS_BYTES

MAX_MODEL_BYTES = 1 << 28
MAX_DIRECTORY_BYTES = 1 << 22
"""Of a zip's list of its files, which Python reads whole before anybody can count them."""
CHUNK_BYTES = 1 << 20
MODELS = (".tflite", ".lite")
ZIP = b"PK\x03\x04"
HEADER, TOLD = "model_variables.h", "deployment-metadata.json"
"""Where exports of Edge Impulse have their labels, beside `labels.txt`."""

DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What Python raises for a damaged zip, depending on where the damage is."""

Kind = Literal["tflite", "teachable-machine", "edge-impulse", "zip"]


@dataclass(frozen=True)
class Brought:
    """What came.

    Attributes:
        place: what a person calls it.
        stem: the most telling name of it, without its ending.
        labels: the bytes of a label file and what a person calls it; None where none came along.
        beside: whether that file only lies beside the model, and may be something else.
        inner: files inside the model itself, for its metadata.
    """

    place: str
    stem: str
    kind: Kind
    labels: tuple[bytes, str] | None
    inner: dict[str, bytes]
    beside: bool = False


def open_source(path: Path, target: Path) -> Brought:
    """Copies the model of a file to `target`, and reads what came with it.

    Raises:
        ModelError: it is no file, no model, or a zip without one or with too much.
    """
    with _opened(path) as file:
        start = file.read(512)
        file.seek(0)
        if start.startswith(ZIP):
            return _from_zip(path, file, target)
        if path.suffix.lower() == ".zip":
            raise ModelError(f"{path}: is no zip, or a damaged one; download it again")
        _copy(file, target, str(path))
    kind: Kind = "edge-impulse" if path.name.startswith("ei-") else "tflite"
    if path.stem in ("model_unquant", "model"):
        kind = "teachable-machine" if path.stem == "model_unquant" else kind
    return Brought(str(path), path.stem, kind, _beside(path), _inner(target), beside=True)


@contextmanager
def view(model: Path) -> Iterator[memoryview]:
    """A model's bytes without a copy; only of a file that nobody else writes."""
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        data = memoryview(mapped)
        try:
            yield data
        finally:
            data.release()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A regular file that is not too long, with what else may be wrong in a sentence."""
    try:
        with regular.opened(path) as file:
            if (size_bytes := os.fstat(file.fileno()).st_size) > MAX_MODEL_BYTES:
                allowed = f"models of up to {MAX_MODEL_BYTES >> 20} MiB are taken"
                raise ModelError(f"{path}: has {size_bytes / (1 << 20):.0f} MiB; {allowed}")
            yield file
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file or folder") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def read_labels(path: Path) -> bytes:
    """A label file that was named.

    Raises:
        ModelError: it cannot be read, or is too large to be one.
    """
    with _opened(path) as file:
        data = file.read(MAX_LABELS_BYTES + 1)
    if len(data) > MAX_LABELS_BYTES:
        raise ModelError(f"{path}: is larger than {MAX_LABELS_BYTES} bytes; expected one label a line")
    return data


def _copy(come: IO[bytes], target: Path, place: str) -> None:
    """As far as a model may be long: what a zip says of a length proves nothing."""
    total = 0
    with target.open("wb") as to:
        while chunk := come.read(CHUNK_BYTES):
            total += len(chunk)
            if total > MAX_MODEL_BYTES:
                raise ModelError(f"{place}: is longer than {MAX_MODEL_BYTES >> 20} MiB; it is no model for a board")
            to.write(chunk)


def _from_zip(path: Path, file: IO[bytes], target: Path) -> Brought:
    try:
        with _unzipped(file) as archive:
            members = _members(archive)
            model = _model(members, path)
            with _member(archive, model) as come:
                _copy(come, target, f"{path}: {model.filename}")
            labels = _labels(archive, members, path)
    except DAMAGED as error:
        raise ModelError(f"{path}: cannot be unpacked ({error or 'it is damaged'}); download it again") from None
    return Brought(f"{path}: {model.filename}", path.stem, _kind(members), labels, _inner(target))


def _unzipped(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip, once its directory is known to be small: that is at the end, with its size (APPNOTE.TXT 4.3.16)."""
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(-min(size_bytes, (1 << 16) + 64), os.SEEK_END)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("its end is missing")
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory_bytes > MAX_DIRECTORY_BYTES or tail[max(at - 20, 0) : at].startswith(b"PK\x06\x07"):
        raise zipfile.BadZipFile("it has more files than an export of a model")
    file.seek(0)
    with _damage():
        return zipfile.ZipFile(file)


@contextmanager
def _damage() -> Iterator[None]:
    """A place that a zip names before its beginning is a seek that the system refuses."""
    try:
        yield
    except OSError as error:
        raise zipfile.BadZipFile(error.strerror) from None


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    hidden = ("__MACOSX/", "._")
    return [one for one in archive.infolist() if not one.filename.endswith("/") and not one.filename.startswith(hidden)]


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Never by bzip2 or LZMA: no export has them, and LZMA takes as much memory as the zip asks for, up to 4 GiB."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"it is packed by method {member.compress_type}; expected a zip with Deflate")
    with _damage():
        return archive.open(member)


def _model(members: list[zipfile.ZipInfo], path: Path) -> zipfile.ZipInfo:
    models = [one for one in members if one.filename.lower().endswith(MODELS)]
    if len(models) == 1:
        return models[0]
    if models:
        names = ", ".join(sorted(one.filename for one in models)[:5])
        raise ModelError(f"{path}: has {len(models)} models in it ({names}); unpack it and name the one that you want")
    names_here = {PurePosixPath(one.filename).name for one in members}
    if names_here & {"keras_model.h5", "model.weights.h5", "model.json", "weights.bin", "saved_model.pb"}:
        raise ModelError(
            f"{path}: is an export for Keras or the web; in Teachable Machine choose Export Model, then TensorFlow Lite"
        )
    if HEADER in names_here:
        raise ModelError(
            f"{path}: is a library of source code without a .tflite; in Edge Impulse take the TensorFlow Lite model "
            "from the Dashboard, or deploy for OpenMV"
        )
    raise ModelError(f"{path}: has no .tflite in it")


def _labels(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], path: Path) -> tuple[bytes, str] | None:
    wanted = (LABELS, "labelmap.txt", "label.txt", TOLD, HEADER)
    by_name = {PurePosixPath(one.filename).name.lower(): one for one in reversed(members)}
    for name in wanted:
        if name in by_name:
            place = f"{path}: {by_name[name].filename}"
            return _bounded(archive, by_name[name], place), place
    return None


def _bounded(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> bytes:
    with _member(archive, member) as come:
        data = come.read(MAX_LABELS_BYTES + 1)
    if len(data) > MAX_LABELS_BYTES:
        raise ModelError(f"{place}: is larger than {MAX_LABELS_BYTES} bytes; expected one label a line")
    return data


def _kind(members: list[zipfile.ZipInfo]) -> Kind:
    names = {PurePosixPath(one.filename).name for one in members}
    if names & {"trained.tflite", "ei_image_classification.py", "ei_object_detection.py", HEADER, TOLD}:
        return "edge-impulse"
    return "teachable-machine" if names & {"model.tflite", "model_unquant.tflite"} and LABELS in names else "zip"


def _inner(model: Path) -> dict[str, bytes]:
    """The files that TFLite metadata speaks of, in a zip at the model's end; none where there is no sound one."""
    with model.open("rb") as file:
        if file.read(8)[4:] != IDENTIFIER:
            return {}
        try:
            with _unzipped(file) as archive:
                small = [one for one in archive.infolist()[:16] if one.file_size <= MAX_LABELS_BYTES]
                return {one.filename: _bounded(archive, one, one.filename) for one in small}
        except (*DAMAGED, ModelError):
            return {}


def _beside(path: Path) -> tuple[bytes, str] | None:
    """A label file that lies beside a model and has its name, or the name that exports give it."""
    for name in (f"{path.stem}.labels.txt", f"{path.stem}_labels.txt", f"{path.stem}.txt", LABELS, "labelmap.txt"):
        place = path.parent / name
        with contextlib.suppress(ModelError):
            return read_labels(place), str(place)
    return None
