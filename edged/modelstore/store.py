"""Where models are: the store of the state folder, what ships with edged, and folders that a person names.

Law: names become folders here, and nothing in a folder is read. A name can never lead out of a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import edged
from edged.core.errors import ModelError
from edged.modelstore.manifest import FILE_NAME
from edged.modelstore.package import MODEL


def bundled() -> Path:
    """The folder of the models that ship: inside the installed package, or at the top of a checkout."""
    package = Path(edged.__file__).parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def available(folders: Sequence[Path]) -> tuple[str, ...]:
    """Names of all models in some stores, sorted. A store that does not exist holds none."""
    found = (path.parent.name for folder in folders for path in folder.glob(f"*/{FILE_NAME}"))
    return tuple(sorted(set(found)))


def find(name: str, folders: Sequence[Path]) -> Path:
    """The folder of a model.

    Args:
        name: a name in a store; or the path of a model folder, or of the .tflite in it.
        folders: the stores, the first that has the name wins: the state folder's `models`, then `bundled()`.

    Raises:
        ModelError: there is no such model, or it lacks its manifest; one sentence with what there is.
    """
    if "\0" in name:
        raise ModelError("a model's name or path cannot hold a NUL character")
    try:
        return _by_path(Path(name)) if "/" in name or name.endswith(".tflite") else _by_name(name, folders)
    except OSError as error:
        place = error.filename or name
        raise ModelError(f"{place}: cannot be read ({error.strerror}); may this user read the folder?") from None


def _by_name(name: str, folders: Sequence[Path]) -> Path:
    if name not in ("", ".", ".."):
        places = [folder / name for folder in folders]
        for place in places:
            if (place / FILE_NAME).is_file():
                return place
        for place in places:
            if place.is_dir():
                raise ModelError(f"{place}: has no {FILE_NAME}; a model needs a manifest, see docs/models.md")
    known = available(folders)
    close = get_close_matches(name.lower(), known, n=1)
    nearest = f"; did you mean {close[0]}?" if close else ""
    raise ModelError(f"there is no model {name!r}{nearest} (models here: {', '.join(known) or 'none'})")


def _by_path(path: Path) -> Path:
    folder = path.parent if path.suffix == ".tflite" else path
    if not path.exists():
        raise ModelError(
            f"{path}: there is no such file or folder; expected a .tflite with its manifest, or its folder"
        )
    if not folder.is_dir():
        raise ModelError(f"{path}: is neither a .tflite nor a model's folder")
    if not (folder / FILE_NAME).is_file():
        raise ModelError(f"{path}: there is no {FILE_NAME} beside it; a model needs a manifest, see docs/models.md")
    if path != folder and path.name != MODEL:
        raise ModelError(f"{path}: the model of a folder is named {MODEL}; rename it, and its line under [files]")
    return folder
