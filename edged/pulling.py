"""`edged model pull`: from the name of a catalogue to a version in the store. Part of the composition root.

Law: the one place where edged fetches something, and only because a person asked for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from edged.core.errors import ModelError, RunError
from edged.edges import https
from edged.keeping import Keeper
from edged.modelstore import catalogue, durable, installation, manifest

FOLDER = ".pull"
"""In the store: what is left of a download that broke off, of the last one alone."""
SPARE_BYTES = 1 << 22


def pull(
    keeper: Keeper, entry: catalogue.Entry, progress: Callable[[str, int, int], None] = lambda *_words: None
) -> Path:
    """Downloads a model of a catalogue, or what the store and an earlier try lack of it, and installs it.

    Args:
        progress: called with a file's path, how many bytes of it are there, and how many it has.

    Returns:
        The folder in the store.

    Raises:
        ModelError: what came cannot be used, or the policy refuses it.
        RunError: it does not come, or there is no room for it.
    """
    folder = keeper.store / FOLDER
    with _alone(folder):
        try:
            with _passing(folder / entry.name) as package:
                return _pulled(keeper, entry, package, progress)
        except OSError as error:
            raise RunError(
                f"{error.filename or folder}: cannot be written ({error.strerror}); is there room?"
            ) from None


def _pulled(keeper: Keeper, entry: catalogue.Entry, package: Path, progress: Callable[[str, int, int], None]) -> Path:
    folder = package.parent
    _forget(folder, {_part(folder, file) for file in entry.files.values()})
    package.mkdir()
    coming = _beyond_the_store(entry, keeper.store, package)
    _check_room(folder, entry.name, coming.values())
    for name, file in entry.files.items():
        if name in coming:
            _fetch(file, _part(folder, file), partial(progress, name))
            installation.link(_part(folder, file), package / name)
        else:
            progress(name, file.size_bytes, file.size_bytes)
    catalogue.complete(entry, package)
    told = manifest.read(package)
    if (told.name, told.version) != (entry.name, entry.version):
        raise ModelError(
            f"{entry.name}: its manifest says {told.name} {told.version}, and the catalogue {entry.name} "
            f"{entry.version}; correct the catalogue"
        )
    installed = keeper.add(package)
    _forget(folder, set())
    return installed


def _beyond_the_store(entry: catalogue.Entry, store: Path, package: Path) -> dict[str, catalogue.FileTable]:
    """The files that are to be fetched. The others, which a version in the store has, too, are in the package then."""
    for name in entry.files:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
    return {
        name: file
        for name, file in entry.files.items()
        if not installation.lend(store, file.sha256, file.size_bytes, package / name)
    }


def _fetch(file: catalogue.FileTable, part: Path, progress: Callable[[int, int], None]) -> None:
    if part.is_symlink() or not os.access(part, os.W_OK):
        part.unlink(missing_ok=True)  # another user's, who began it; the folder's owner may take it away
    https.fetch(file.urls, file.sha256, file.size_bytes, part, lambda have_bytes: progress(have_bytes, file.size_bytes))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        durable.make_folder(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); is that the user's folder?") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RunError(f"{folder}: another `edged model pull` is at work; wait for its end") from None
    finally:
        os.close(descriptor)


@contextmanager
def _passing(folder: Path) -> Iterator[Path]:
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _part(folder: Path, file: catalogue.FileTable) -> Path:
    return folder / f"{file.sha256}.part"


def _forget(folder: Path, but: set[Path]) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path not in but:
            path.unlink()


def _check_room(folder: Path, name: str, coming: Collection[catalogue.FileTable]) -> None:
    """Each file that comes is there twice for a moment: as it came, and as an object of the store."""
    have = sum(path.lstat().st_size for path in {_part(folder, file) for file in coming} & set(folder.iterdir()))
    needed = 2 * sum(file.size_bytes for file in coming) + SPARE_BYTES - have
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            f"{folder.parent}: has room for {free / 1e6:.1f} MB, and {name} needs {needed / 1e6:.1f} MB; "
            "remove what is not needed, such as old versions (edged model remove)"
        )
