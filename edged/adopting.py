"""`edged model add` of a bare model: from a `.tflite` or a zip to a model folder. Part of the composition root.

Law: makes a folder like any other, in a temporary place; what is done with it is the keeper's business.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edged import adoption, app
from edged.adoption import Assumption, Options, Question, Unanswered
from edged.adoption.archive import read_labels, view
from edged.core.errors import ModelError, RunError
from edged.keeping import Keeper
from edged.modelstore import bundled, manifest, package
from edged.modelstore.rendering import render
from edged.modelstore.store import AT, available, versions

__all__ = [
    "Adopted",
    "Assumption",
    "Options",
    "Question",
    "Unanswered",
    "adopted",
    "heed_policy",
    "is_bare",
    "keep_folder",
    "own_picture",
    "read_labels",
    "scores_of",
]

FIRST_VERSION = "1.0.0"


@dataclass(frozen=True)
class Adopted:
    """A bare model that became a folder.

    Attributes:
        folder: where it is, as long as the context lasts.
        known: whether the store has the very same already.
        assumptions: what it was taken for, and why.
    """

    folder: Path
    name: str
    version: str
    task: str
    known: bool
    assumptions: tuple[Assumption, ...]


def is_bare(path: Path) -> bool:
    """Whether a path names a bare model rather than a model's folder, whose `model.tflite` stands for it."""
    return not path.is_dir() and not (path.name == package.MODEL and (path.parent / manifest.FILE_NAME).is_file())


@contextmanager
def adopted(path: Path, options: Options, keeper: Keeper) -> Iterator[Adopted]:
    """A model folder made of a bare model.

    Raises:
        Unanswered: something has to be asked.
        ModelError: it cannot be used.
        RunError: there is no room for it.
    """
    try:
        place = tempfile.TemporaryDirectory(prefix="edged-model-")
    except OSError as error:
        raise RunError(f"{tempfile.gettempdir()}: cannot be written ({error.strerror})") from None
    with place as root:
        try:
            found = _made(path, options, keeper, Path(root))
        except OSError as error:
            raise RunError(f"{error.filename or root}: cannot be written ({error.strerror}); is there room?") from None
        yield found


def _made(path: Path, options: Options, keeper: Keeper, root: Path) -> Adopted:
    model = root / package.MODEL
    brought = adoption.open_source(path, model)
    package.check_flatbuffer(model, brought.place)
    with view(model) as data:
        graph = adoption.Graph.read(data, brought.place)
    proposal = adoption.propose(brought, graph, options)
    if proposal.name in available([bundled()]):
        raise ModelError(f"{proposal.name} is the name of a model that ships with edged; give it another: --name NAME")
    labels = root / package.LABELS
    labels.write_text("".join(f"{one}\n" for one in proposal.labels), encoding="utf-8")
    told = _manifest(proposal, root, options.version or FIRST_VERSION)
    there = versions(told.name, [keeper.store])
    same = _same(told, there, options.version)
    if same is None and options.version is None:
        told = told.model_copy(update={"version": _next(list(there))})
    told = same or told
    folder = root / told.name  # a name that the manifest took, so it leads nowhere else
    folder.mkdir()
    model.rename(folder / package.MODEL)
    labels.rename(folder / package.LABELS)
    (folder / manifest.FILE_NAME).write_text(render(told), encoding="utf-8")
    return Adopted(folder, told.name, told.version, told.task, same is not None, proposal.assumptions)


def _manifest(proposal: adoption.Proposal, folder: Path, version: str) -> manifest.Manifest:
    files = {name: _sha256(folder / name) for name in (package.MODEL, package.LABELS)}
    return manifest.made(
        schema=1,
        name=proposal.name,
        version=version,
        task=proposal.task,
        licence=proposal.licence,
        source=proposal.source,
        files=files,
        input=proposal.input,
        output=proposal.output,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same(told: manifest.Manifest, there: Mapping[str, Path], asked: str | None) -> manifest.Manifest | None:
    """The manifest of an installed version that differs in nothing that the model does; None where there is none."""
    for version, folder in there.items():
        if AT not in folder.name or (asked is not None and version != asked):
            continue
        installed = manifest.read(folder)
        origin = {"version": version, "source": installed.source, "licence": installed.licence}
        if told.model_copy(update=origin) == installed:
            return installed
    return None


def _next(there: list[str]) -> str:
    """The first whole number after the newest version, whatever that looks like."""
    if not there:
        return FIRST_VERSION
    numbers = there[0].partition("+")[0].partition("-")[0].split(".")
    first = int(numbers[0]) if numbers[0].isdecimal() else 0
    return f"{first + 1}.0.0"


def heed_policy(found: Adopted, keeper: Keeper) -> None:
    """Refuses where only signed models may run, before this one has run anywhere.

    Raises:
        ModelError: the policy is `require`, and nobody can have signed what was just made.
    """
    trouble = keeper.trust.trouble_of_signature(found.folder)
    if keeper.trust.policy == "require" and trouble is not None:
        raise ModelError(f"{trouble}; write its folder with --into FOLDER, sign that, and add it")


def keep_folder(found: Adopted, target: Path) -> None:
    """Copies a folder to where a person wants it, to edit or sign it.

    Raises:
        RunError: it is there already, or cannot be written.
    """
    try:
        shutil.copytree(found.folder, target)
    except FileExistsError:
        raise RunError(f"{target}: is there already; name a folder that is not") from None
    except (OSError, shutil.Error) as error:
        raise RunError(f"{target}: cannot be written ({getattr(error, 'strerror', None) or error})") from None


def scores_of(found: Adopted, picture: Path, top: int) -> list[tuple[str, float]]:
    """The best labels of a picture, as `edged classify` gives them: proven in a process of its own before it is loaded.

    Raises:
        ModelError: the model cannot be run.
        CameraError: the file is no picture.
    """
    return app.still_classifier(str(found.folder / package.MODEL))(picture, top)


def own_picture() -> Path:
    """A photograph that comes with edged, for who has none at hand: a cat."""
    return bundled() / "efficientnet-lite0-int8" / "golden" / "cat.png"
