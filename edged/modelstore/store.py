"""Where models are: the store of the state folder, what ships with edged, and folders that a person names.

A store holds installed versions as folders `NAME@VERSION`, see `modelstore.installation`, and folders `NAME` that a
person put there or that ship. A folder `NAME` wins over versions of that name in its own store and in those behind it.

Law: names become folders here; of what is in a folder nothing but a version is read. A name can never lead out of a
store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import edged
from edged.core.errors import ModelError
from edged.modelstore import manifest, remembered
from edged.modelstore.manifest import FILE_NAME
from edged.modelstore.package import MODEL
from edged.modelstore.versions import order

AT = "@"
"""Between name and version; no character of either."""

Judge = Callable[[Path], None]
"""Raises ModelError where a model folder must not be used."""


def bundled() -> Path:
    """The folder of the models that ship: inside the installed package, or at the top of a checkout."""
    package = Path(edged.__file__).parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def available(folders: Sequence[Path]) -> tuple[str, ...]:
    """Names of all models in some stores, sorted. A store that does not exist holds none."""
    return tuple(sorted({path.name.partition(AT)[0] for folder in folders for path in packages(folder)}))


def packages(store: Path) -> Iterator[Path]:
    """The model folders of a store, sorted; what begins with a dot is no model."""
    return (path.parent for path in sorted(store.glob(f"*/{FILE_NAME}")) if not path.parent.name.startswith("."))


def versions(name: str, folders: Sequence[Path]) -> dict[str, Path]:
    """All versions of a model and their folders, the newest first; the first store wins where two have the same.

    Raises:
        ModelError: the version of a folder `NAME` cannot be read.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in packages(folder):
            stem, at, version = path.name.partition(AT)
            if stem == name:
                found.setdefault(version if at else manifest.read(path).version, path)
    return {version: found[version] for version in sorted(found, key=order, reverse=True)}


def find(name: str, folders: Sequence[Path], judge: Judge | None = None) -> Path:
    """The folder of a model.

    Args:
        name: a name in a store, or `NAME@VERSION`; or the path of a model folder, or of the .tflite in it.
        folders: the stores, the first that has the name wins: the state folder's `models`, then `bundled()`.
        judge: says which versions are allowed. Without a version in `name` it is the one that `remembered` has, else
            the newest that is allowed.

    Raises:
        ModelError: there is no such model, it lacks its manifest, or `judge` raised; one sentence with what there is.
    """
    if "\0" in name:
        raise ModelError("a model's name or path cannot hold a NUL character")
    try:
        if "/" in name or name.endswith(".tflite"):
            folder = _by_path(Path(name))
        else:
            return _by_name(name, folders, judge)
    except OSError as error:
        place = error.filename or name
        raise ModelError(f"{place}: cannot be read ({error.strerror}); may this user read the folder?") from None
    if judge is not None:
        judge(folder)
    return folder


def _by_name(name: str, folders: Sequence[Path], judge: Judge | None) -> Path:
    stem, at, version = name.partition(AT)
    for folder in folders if stem not in ("", ".", "..") else ():
        plain = folder / stem
        if (plain / FILE_NAME).is_file():
            if at and manifest.read(plain).version != version:
                break
            if judge is not None:
                judge(plain)
            return plain
        if any(path.name.startswith(stem + AT) for path in packages(folder)):
            return _version(stem, version if at else None, folders, remembered.read(folder).get(stem), judge)
        if plain.is_dir():
            raise ModelError(f"{plain}: has no {FILE_NAME}; a model needs a manifest, see docs/models.md")
    raise ModelError(_unknown(stem, version, folders))


def _version(
    name: str, asked: str | None, folders: Sequence[Path], choice: remembered.Choice | None, judge: Judge | None
) -> Path:
    found = versions(name, folders)
    if asked is not None and asked not in found:
        raise ModelError(_unknown(name, asked, folders))
    kept = choice.version if choice is not None else None
    wanted = [asked] if asked is not None else [kept] if kept is not None and kept in found else list(found)
    first: ModelError | None = None
    for version in wanted:
        try:
            if judge is not None:
                judge(found[version])
        except ModelError as error:
            first = first or error
            continue
        return found[version]
    raise first or ModelError(_unknown(name, "", folders))


def _unknown(name: str, version: str, folders: Sequence[Path]) -> str:
    known = available(folders)
    if version and name in known:
        there = ", ".join(versions(name, folders))
        return f"there is no version {version!r} of model {name} (versions here: {there})"
    close = get_close_matches(name.lower(), known, n=1)
    nearest = f"; did you mean {close[0]}?" if close else ""
    return f"there is no model {name!r}{nearest} (models here: {', '.join(known) or 'none'})"


def _by_path(path: Path) -> Path:
    folder = path.parent if path.suffix == ".tflite" else path
    if not path.exists():
        raise ModelError(
            f"{path}: there is no such file or folder; expected a .tflite with its manifest, or its folder"
        )
    if not folder.is_dir():
        raise ModelError(f"{path}: is neither a .tflite nor a model's folder")
    if not (folder / FILE_NAME).exists():
        raise ModelError(f"{path}: there is no {FILE_NAME} beside it; a model needs a manifest, see docs/models.md")
    if path != folder and path.name != MODEL:
        raise ModelError(f"{path}: the model of a folder is named {MODEL}; rename it, and its line under [files]")
    return folder
