"""Models that can be fetched by name: `catalogue.toml`, which comes with edged, or a file of one's own.

Every file of an entry is named by its addresses, its size and its sha256, computed from the bytes themselves: an
address may change hands, the file may not. An entry either has a manifest among its files (a whole package, signed
perhaps), or says here what the manifest of a bare model must say.

Law: what is written in the file, and packages made of it. Nothing is fetched here.
"""

from __future__ import annotations

import hashlib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from edged.core.errors import ModelError
from edged.modelstore import manifest, package
from edged.modelstore.manifest import InputTable, Inside, Line, Manifest, Members, Name, OutputTable, Sha256, Table
from edged.modelstore.rendering import render
from edged.modelstore.signature import SIGNATURE
from edged.modelstore.store import bundled, find

OURS = Path(__file__).with_name("catalogue.toml")


def _https(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is no address; expected one that begins with https://") from None
    if parts.scheme != "https" or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("expected an address that begins with https://")
    return url


class FileTable(Table):
    """One file: the same bytes at every address."""

    urls: Annotated[tuple[Annotated[str, AfterValidator(_https)], ...], Field(min_length=1, max_length=8)]
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=1, le=package.MAX_FILE_BYTES)]


class Entry(Table):
    """[[model]]: one model.

    Attributes:
        files: by their paths in the package.
        labels: in the order of the model's outputs; or
        labels_of: a model that ships, whose labels and groups this one shares, behind those of `labels_before`.
    """

    name: Name
    version: manifest.Version
    summary: Line
    licence: Line
    source: Line
    files: dict[Inside, FileTable]
    labels: Annotated[tuple[Line, ...] | None, Field(min_length=1)] = None
    labels_of: Name | None = None
    labels_before: tuple[Line, ...] = ()
    input: InputTable | None = None
    output: OutputTable | None = None
    groups: dict[Line, Members] = Field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files.values())

    @model_validator(mode="after")
    def _whole(self) -> Entry:
        if package.MODEL not in self.files:
            raise ValueError(f"files: expected {package.MODEL} among them")
        manifest.check_places((*self.files, manifest.FILE_NAME, package.LABELS, SIGNATURE))
        said = (self.labels, self.labels_of, self.input, self.output)
        if manifest.FILE_NAME in self.files:
            if any(one is not None for one in said) or self.groups or self.labels_before:
                raise ValueError(f"its {manifest.FILE_NAME} says what labels, input, output and groups would say")
        elif self.input is None or self.output is None or (self.labels is None) == (self.labels_of is None):
            raise ValueError("expected input, output, and either labels or labels_of")
        elif SIGNATURE in self.files or package.LABELS in self.files:
            raise ValueError(f"{package.LABELS} and {SIGNATURE} go with a {manifest.FILE_NAME}")
        return self


class Catalogue(Table):
    """The whole file."""

    schema_version: Annotated[Literal[1], BeforeValidator(manifest.whole)] = Field(alias="schema")
    model: tuple[Entry, ...]

    def entry(self, name: str) -> Entry:
        """The entry of a model.

        Raises:
            ModelError: there is none; the sentence says which there are.
        """
        known = {one.name: one for one in self.model}
        if name not in known:
            close = get_close_matches(name.lower(), known, n=1)
            nearest = f"; did you mean {close[0]}?" if close else ""
            raise ModelError(
                f"the catalogue has no model {name!r}{nearest} (models in it: {', '.join(known) or 'none'})"
            )
        return known[name]


def load(path: Path = OURS) -> Catalogue:
    """Reads a catalogue.

    Raises:
        ModelError: it cannot be read, is no TOML, or has problems: all of them in one sentence that names the file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(manifest.MAX_BYTES + 1)
        if len(data) > manifest.MAX_BYTES:
            raise ModelError(f"{path}: is larger than {manifest.MAX_BYTES} bytes; expected a catalogue of models")
        return Catalogue.model_validate(manifest.document(data))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: is no UTF-8 text; expected a catalogue of models") from None
    except ValidationError as error:
        raise ModelError(f"{path}: {'; '.join(manifest.sentences(error))}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid TOML: {error}") from None


def complete(entry: Entry, folder: Path) -> None:
    """Writes labels and manifest, where an entry describes them, into a folder that has its files.

    Raises:
        ModelError: what it says makes no manifest.
    """
    if entry.input is None or entry.output is None:
        return
    labels, groups = entry.labels or (), entry.groups
    if entry.labels_of is not None:
        like = package.load(find(entry.labels_of, [bundled()]))
        labels, groups = (*entry.labels_before, *like.labels), {**like.groups, **entry.groups}
    text = "".join(f"{label}\n" for label in labels).encode()
    (folder / package.LABELS).write_bytes(text)
    hashes = {name: file.sha256 for name, file in entry.files.items()}
    told = Manifest(
        schema=1,
        name=entry.name,
        version=entry.version,
        task="classify",
        licence=entry.licence,
        source=entry.source,
        files={**hashes, package.LABELS: hashlib.sha256(text).hexdigest()},
        input=entry.input,
        output=entry.output,
        groups=groups,
    )
    (folder / manifest.FILE_NAME).write_text(render(told), encoding="utf-8")
