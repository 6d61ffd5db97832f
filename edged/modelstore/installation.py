"""Putting model folders into a store and taking them out, so that a reader finds the old or the new, never a mixture.

A store looks like this; one rename makes a version appear, one makes it go:

    models/NAME@VERSION/     an installed version; its files are hard links to objects
    models/.objects/SHA256   every file once, by the hash of its content
    models/.incoming-…       being made; what an interruption left is removed at the next change

Whoever changes the store holds a lock on its folder; whoever reads needs none.

Law: nothing that is in a version is ever written again (the runtime maps the files), with one exception: the signature
is a file beside what it signs and may be replaced, whole. Only what a manifest names is copied, and only if it has the
hash that the manifest says.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from edged.core.errors import ModelError
from edged.modelstore import durable, manifest, package, regular, remembered
from edged.modelstore.signature import SIGNATURE
from edged.modelstore.store import AT, versions

OBJECTS = ".objects"
INCOMING, REMOVING = ".incoming-", ".removing-"
UNFINISHED = (".active.json-", ".trust.json-")
"""What `durable.write` had not given its name yet; both files are written by whoever holds the lock."""
MAX_VERSIONS = 5
"""How many versions of a name are kept; the active, the previous one and those in use are always among them."""
CHUNK_BYTES = 1 << 20
RETRY_S = 0.1
IMMUTABLE = 0o444


def install(source: Path, store: Path, kept: Collection[Path] = ()) -> Path:
    """Copies a model folder into a store, where it is `NAME@VERSION`; the oldest versions beyond `MAX_VERSIONS` go.

    Args:
        kept: folders of versions that stay, however old they are.

    Returns:
        The folder in the store; the one that was there, where it holds the same model.

    Raises:
        ModelError: it is no sound model folder, or that version is there with another content.
        OSError: the store cannot be written.
    """
    with changing(store):
        told = manifest.read(source)
        stage = Path(tempfile.mkdtemp(prefix=INCOMING, dir=store))
        durable.own(stage, 0o755)
        for name, sha256 in told.files.items():
            _make_folders(stage, name)
            link(_object(source / name, sha256, store / OBJECTS), stage / name)
        _copy(source / manifest.FILE_NAME, stage / manifest.FILE_NAME)
        if (source / SIGNATURE).exists():
            _copy(source / SIGNATURE, stage / SIGNATURE)
        for folder in (*(path for path in stage.rglob("*") if path.is_dir()), stage):
            durable.sync_folder(folder)
        loaded = package.load(stage)
        target = store / f"{loaded.name}{AT}{loaded.version}"
        if not target.exists() or not _is_same(stage, target):
            stage.rename(target)
            durable.sync_folder(store)
        _prune(loaded.name, loaded.version, store, kept)
    return target


def remove(folder: Path) -> None:
    """Takes an installed version out of its store.

    Raises:
        OSError: the store cannot be written.
    """
    with changing(folder.parent):
        _take_out(folder)


@contextmanager
def changing(store: Path, ends: threading.Event | None = None) -> Iterator[None]:
    """Alone with the store, which is tidied before and after: nothing is left of what was interrupted.

    Args:
        ends: waiting for whoever changes the store now is over when it is set; left out, it lasts as long as it takes.

    Raises:
        OSError: the store cannot be written, or waiting is over.
    """
    durable.make_folder(store / OBJECTS)
    descriptor = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor, ends)
        _tidy(store)
        try:
            yield
        finally:
            _tidy(store)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, ends: threading.Event | None) -> None:
    if ends is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if ends.wait(RETRY_S):
                raise
        else:
            return


def _tidy(store: Path) -> None:
    """Takes away what it may; what another user left is for that user's next change."""
    for path in store.iterdir():
        if path.name.startswith((INCOMING, REMOVING)):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(UNFINISHED):
            with contextlib.suppress(OSError):
                path.unlink()
    for path in (store / OBJECTS).iterdir():
        if path.stat().st_nlink == 1:  # no version has a link to it
            with contextlib.suppress(OSError):
                path.unlink()


def _object(file: Path, sha256: str, objects: Path) -> Path:
    """The object with a file's content, copied where it is not there yet; its hash is computed on the way."""
    target = objects / sha256
    if target.exists():
        with target.open("rb") as kept:
            if hashlib.file_digest(kept, "sha256").hexdigest() == sha256:
                return target
        target.unlink()  # a damaged one, which the new one mends
    if not file.exists():
        raise ModelError(f"{file}: there is no such file, and the manifest names it")
    descriptor, temporary = tempfile.mkstemp(dir=objects)
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "wb") as to, regular.opened(file) as come:
        while chunk := come.read(CHUNK_BYTES):
            digest.update(chunk)
            to.write(chunk)
        to.flush()
        durable.settle(to.fileno(), objects, IMMUTABLE)
    if digest.hexdigest() != sha256:
        raise ModelError(
            f"{file}: its sha256 is {digest.hexdigest()} and the manifest says {sha256}: "
            "the file is damaged or was changed; get the model again"
        )
    Path(temporary).rename(target)
    durable.sync_folder(objects)
    return target


def link(kept: Path, path: Path) -> None:
    """A file that is another name of one that never changes."""
    try:
        path.hardlink_to(kept)
    except OSError:
        # A file system without hard links (FAT) or with too many of them: then it is a file of its own.
        _copy(kept, path, IMMUTABLE)


def lend(store: Path, sha256: str, size_bytes: int, path: Path) -> bool:
    """Gives a file that a store has already a name more; False where it has none such, or a damaged one.

    Args:
        path: the name; nothing is there yet, and nobody writes there afterwards.
    """
    try:
        path.hardlink_to(store / OBJECTS / sha256)
    except OSError:
        return False
    with path.open("rb") as file:
        if path.stat().st_size == size_bytes and hashlib.file_digest(file, "sha256").hexdigest() == sha256:
            return True
    path.unlink()
    return False


def _copy(source: Path, target: Path, mode: int = durable.READABLE) -> None:
    with regular.opened(source) as come, target.open("xb") as to:
        shutil.copyfileobj(come, to, CHUNK_BYTES)
        to.flush()
        durable.settle(to.fileno(), target.parent, mode)


def _make_folders(stage: Path, name: str) -> None:
    for inner in reversed(Path(name).parents[:-1]):
        durable.make_folder(stage / inner)


def _is_same(stage: Path, target: Path) -> bool:
    """Refuses another model of the same version; the same one lends its signature, and is taken out if damaged."""
    if (stage / manifest.FILE_NAME).read_bytes() != (target / manifest.FILE_NAME).read_bytes():
        raise ModelError(
            f"{target}: this version is installed already, and its manifest is another; "
            "give the new model a new version, or remove the installed one"
        )
    try:
        package.load(target)
    except ModelError:
        _take_out(target)
        return False
    if (stage / SIGNATURE).is_file():
        durable.write(target / SIGNATURE, (stage / SIGNATURE).read_bytes())
    return True


def _prune(name: str, new: str, store: Path, stay: Collection[Path]) -> None:
    choice = remembered.read(store).get(name)
    kept = {new} | ({choice.version, choice.previous} if choice else set())
    installed = [path for path in versions(name, [store]).values() if AT in path.name]
    spare = [path for path in installed if path.name.partition(AT)[2] not in kept and path.resolve() not in stay]
    beyond = len(installed) - MAX_VERSIONS
    for path in spare[::-1][: max(0, beyond)]:
        _take_out(path)


def _take_out(folder: Path) -> None:
    gone = Path(tempfile.mkdtemp(prefix=REMOVING, dir=folder.parent))
    folder.rename(gone / folder.name)
    durable.sync_folder(folder.parent)
    shutil.rmtree(gone)
