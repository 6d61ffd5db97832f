"""Which service runs a configuration, and which files systemd makes its credentials of. Part of the composition root.

What a person runs by hand has no credentials of its own, and looks where the service gets them from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from edged.config import ROOTS, Lent
from edged.core.service_findings import Unit
from edged.edges import units

ROOT = Path("/")
SERVICES = "etc/edged"
"""A configuration here is a service's: /etc/edged/NAME.toml is that of NAME.service."""

Show = Callable[[str], Unit | None]
"""Asks systemd for a service."""


def unit_of(path: Path, root: Path = ROOT, show: Show = units.show) -> Unit | None:
    """The service that runs a configuration; None where it is no service's, or systemd does not answer."""
    whole = path.absolute()
    return show(f"{whole.stem}.service") if whole.parent == root / SERVICES else None


def lent(path: Path, environ: Mapping[str, str] = os.environ, root: Path = ROOT, show: Show = units.show) -> Lent:
    """The files that the service which runs a configuration has its passwords from, drop-ins included.

    Systemd is not asked where the passwords are handed over already, as in the service itself.
    """
    if environ.get("CREDENTIALS_DIRECTORY"):
        return ROOTS
    unit = unit_of(path, root, show)
    files = unit.credentials if unit is not None and unit.is_installed else {}
    found = {name: Path(file) for name, file in files.items() if file.startswith("/")}
    return found or {name: root / file.relative_to("/") for name, file in ROOTS.items()}
