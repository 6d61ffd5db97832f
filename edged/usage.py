"""Which models are in use: what the configurations of this machine name. Part of the composition root.

Law: reads configurations and finds folders, and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edged import trusted
from edged.config import Config, ModelTable, Outline, outline, read
from edged.core.errors import ConfigError, ModelError
from edged.edges.state_folder import SYSTEM
from edged.instances import ROOT, SERVICES
from edged.models import model_folders
from edged.modelstore import find
from edged.modelstore.store import packages

log = logging.getLogger("edged")


@dataclass(frozen=True)
class Use:
    """A configuration and its model.

    Attributes:
        path: of the configuration.
        name: its [model] name.
        folder: of the model that this stands for now, without links.
    """

    path: Path
    name: str
    folder: Path


def services_of(root: Path) -> Path | None:
    """Where the configurations are whose services share a state root; None where it is no service's."""
    return ROOT / SERVICES if root == SYSTEM else None


def uses(config: Config | None, services: Path | None, root: Path) -> Iterator[Use]:
    """The models that are in use; what names a model that is not there uses none.

    Args:
        config: one that counts wherever it is; None: there is none.
        services: the folder with the services' configurations; None: nobody else uses the state root.
        root: the state root.

    Raises:
        ModelError: a service's configuration cannot be read at all, so that it is not known what it uses.
    """
    for path, asked in _outlines(config, services):
        folder = _stands_for(asked, asked.model, root) if asked.model is not None else None
        if asked.model is not None and folder is not None:
            yield Use(path, asked.model.name, folder.resolve())


def kept(config: Config | None, services: Path | None, root: Path) -> set[Path]:
    """The folders that an installation must leave where they are: those in use; all, where it is not known which."""
    try:
        return {use.folder for use in uses(config, services, root)}
    except ModelError as error:
        log.warning("no old version is taken out of the store: %s", error)
        return {folder.resolve() for folder in packages(root / "models")}


def _outlines(config: Config | None, services: Path | None) -> Iterator[tuple[Path, Outline]]:
    if config is not None:
        yield config.path, outline(config)
    for path in sorted(services.glob("edged*.toml")) if services is not None else ():
        is_services = path.name == "edged.toml" or path.name.startswith("edged@")
        if not is_services or (config is not None and path.resolve() == config.path.resolve()):
            continue
        try:
            reading = read(path)
        except ConfigError as error:
            raise ModelError(f"{error}; mend it or move it away: until then nobody knows which model it uses") from None
        # A mistake elsewhere in the file is mended some day, and its model is wanted then.
        yield path, reading.outline if reading.config is None else outline(reading.config)


def _stands_for(asked: Outline, table: ModelTable, root: Path) -> Path | None:
    folders = model_folders(root)
    for judge in (trusted.trust(asked, root).judge, None):  # none is allowed: then what it would be if all were
        try:
            return find(table.name, folders, judge)
        except ModelError:
            continue
    return None
