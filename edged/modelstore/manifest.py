"""model.toml, the manifest of a model folder: what the tensors cannot say by themselves.

Law: scale, zero point, shape and dtype are read from the tensors and have no key here. One class a table, one line a
key, each described in `docs/models.md` (a test holds them together).
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edged.core.errors import ModelError
from edged.core.types import Activation, Color, Fit
from edged.modelstore import regular

FILE_NAME, SIGNATURE = "model.toml", "model.sig"
MAX_BYTES = 1 << 20
MAX_DOTS = 50
"""In one line. tomllib takes time by the square of the parts of a key: minutes for a megabyte of them."""
MAX_FILES, MAX_PATH = 1000, 300
MOST_SCALE = 1e6
"""Pixels are from 0 to 255; what is far from that would overflow."""
MAX_CLAUSES, MAX_CLAUSE, MAX_SHOWN = 8, 200, 60


class Table(BaseModel):
    """What every table has in common: nothing unknown, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def whole(value: object) -> object:
    """The number of a schema, which is whole."""
    if type(value) is not int:  # pydantic takes true and 1.0 for 1
        raise ValueError("this version reads manifests with schema = 1")
    return value


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if (
        not name
        or path.is_absolute()
        or ".." in path.parts
        or str(path) != name
        or name == "."
        or not name.isprintable()
        or len(name) > MAX_PATH
    ):
        raise ValueError(f"{name[:MAX_SHOWN]!r} must be the plain path of a file inside the model's folder")
    return name


def check_places(names: Collection[str]) -> None:
    """Refuses paths of which one would have to be a file and a folder.

    Raises:
        ValueError: one leads through another.
    """
    known = frozenset(names)
    for name in names:
        for inner in PurePosixPath(name).parents:
            if str(inner) in known:
                raise ValueError(f"files: {name[:MAX_SHOWN]!r} is inside {str(inner)[:MAX_SHOWN]!r}, which is a file")


def _unique(members: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(members)) != len(members):
        raise ValueError("a group names a label twice")
    return members


def _plain(pattern: str, words: str) -> AfterValidator:
    """What [model] name can say without being taken for a path: `NAME`, and `NAME@VERSION`."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text[:80]!r} is not allowed; expected {words}")
        if text.endswith(".tflite"):
            raise ValueError(f"{text!r} ends in .tflite, by which [model] name would be a path; expected another end")
        return text

    return AfterValidator(check)


Line = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]
Index = Annotated[int, Field(ge=0)]
Channels = Field(min_length=1, max_length=3)
Members = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_unique)]
Inside = Annotated[str, AfterValidator(_inside)]
Name = Annotated[
    str, _plain("[a-z0-9][a-z0-9._-]{0,63}", "1 to 64 of a-z, 0-9, ., _ and -, the first a letter or digit")
]
Version = Annotated[
    str,
    _plain("[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}", "1 to 32 letters, digits, ., +, _ and -, the first a letter or digit"),
]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class InputTable(Table):
    """[input]: how a picture becomes the input, `real = (pixel - mean) / std`."""

    color: Color
    fit: Fit
    mean: Annotated[tuple[Annotated[float, Field(ge=-MOST_SCALE, le=MOST_SCALE)], ...], Channels]
    std: Annotated[tuple[Annotated[float, Field(gt=1 / MOST_SCALE, le=MOST_SCALE)], ...], Channels]


class OutputTable(Table):
    """[output]: how a raw output becomes a score in 0..1, and which output of several holds what."""

    activation: Activation
    background: Index | None = None
    boxes: Index | None = None
    classes: Index | None = None
    scores: Index | None = None
    count: Index | None = None


class EmbeddingTable(Table):
    """[embedding]: which output holds pooled features."""

    output: Index


class Manifest(Table):
    """The whole file."""

    schema_version: Annotated[Literal[1], BeforeValidator(whole)] = Field(alias="schema")
    name: Name
    version: Version
    task: Literal["classify", "detect"]
    licence: Line
    source: Line
    expires: datetime.date | None = None
    files: Annotated[dict[Inside, Sha256], Field(max_length=MAX_FILES)]
    input: InputTable
    output: OutputTable
    embedding: EmbeddingTable | None = None
    groups: dict[Line, Members] = {}

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        told, apart = self.output, (FILE_NAME, SIGNATURE)
        for name in apart:
            if name in self.files:
                raise ValueError(f"files: {name} is no file that the manifest can give the sha256 of; leave it out")
        check_places((*self.files, *apart))
        if self.task == "classify" and not told.boxes is told.classes is told.count is None:
            raise ValueError('output: boxes, classes and count are of a detector, task = "detect"')
        if self.task == "detect" and (told.activation != "none" or told.background is not None or self.embedding):
            raise ValueError('task: a detector has activation = "none", no background and no [embedding]')
        if told.scores is not None and self.embedding is not None and self.embedding.output == told.scores:
            raise ValueError("output.scores and embedding.output are the same output")
        return self


def read(folder: Path) -> Manifest:
    """Reads the manifest of a model folder.

    Raises:
        ModelError: it is missing, no TOML, or has problems: all of them in one sentence that names the file.
    """
    return parse(read_document(folder), folder)


def read_document(folder: Path) -> bytes:
    """The bytes of a model folder's manifest: those that a signature is made of.

    Raises:
        ModelError: it is missing, cannot be read, or is too large to be one.
    """
    path = folder / FILE_NAME
    try:
        with regular.opened(path) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; a model needs a manifest, see docs/models.md") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > MAX_BYTES:
        raise ModelError(f"{path}: is larger than {MAX_BYTES} bytes; expected the manifest of a model")
    return data


def parse(data: bytes, folder: Path) -> Manifest:
    """The manifest that `read_document` has read.

    Raises:
        ModelError: as `read`.
    """
    path = folder / FILE_NAME
    try:
        return Manifest.model_validate(document(data))
    except UnicodeDecodeError:
        raise ModelError(f"{path}: is no UTF-8 text; expected the manifest of a model") from None
    except ValidationError as error:
        raise ModelError(f"{path}: {'; '.join(sentences(error))}") from None
    except (ValueError, RecursionError) as error:  # tomllib's own, and Python's bound for the digits of a number
        raise ModelError(f"{path}: not valid TOML: {error}") from None


def made(**told: Any) -> Manifest:
    """A manifest of what was found out about a model.

    Raises:
        ModelError: it would be none: all problems in one sentence.
    """
    try:
        return Manifest.model_validate(told)
    except ValidationError as error:
        raise ModelError("; ".join(sentences(error))) from None


def document(data: bytes) -> Any:
    """TOML with its lists as tuples, which is how the tables here are strict about them.

    Raises:
        ValueError, RecursionError: it is none, or cannot be read in reasonable time.
    """
    text = data.decode("utf-8-sig")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > MAX_DOTS:
            raise ValueError(f"line {number} has more than {MAX_DOTS} dots; break it into several lines")
    return _tuples(tomllib.loads(text))


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(one) for key, one in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(one) for one in value)
    return value


_WORDS = {"missing": "is missing", "extra_forbidden": "unknown key"}


def sentences(error: ValidationError) -> list[str]:
    """One clause a problem, `key: what is wrong`, in pydantic's words where they are plain enough; a few of many."""
    clauses = []
    for one in error.errors(include_url=False, include_input=False)[:MAX_CLAUSES]:
        key = ".".join(str(part) if re.fullmatch(r"[\w.\[\]/ -]+", str(part)) else repr(part) for part in one["loc"])
        said = str(one["ctx"]["error"]) if one["type"] == "value_error" else one["msg"]
        said = _WORDS.get(one["type"], said[:1].lower() + said[1:])
        clauses.append(f"{_short(key, MAX_SHOWN)}{': ' if key else ''}{_short(said, MAX_CLAUSE)}")
    more = error.error_count() - len(clauses)
    return clauses if more == 0 else [*clauses, f"and {more} more"]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
