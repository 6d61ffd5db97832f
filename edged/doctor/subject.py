"""Who is examined: a configuration, the service that runs it, and the board around it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edged.config import Config
from edged.core.service_findings import Unit
from edged.edges import units
from edged.edges.clock import SystemClock
from edged.edges.state_folder import SYSTEM, state_root
from edged.ports import Clock

ROOT = Path("/")
SERVICES = "etc/edged"
"""A configuration here is a service's: /etc/edged/NAME.toml is that of NAME.service."""
CREDENTIALS = "etc/edged/credentials"

Show = Callable[[str], Unit | None]
"""Asks systemd for a service."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the checks look at.

    Attributes:
        path: of the configuration, as it was named.
        config: None where it cannot be used.
        unit: None where there is no systemd, or the configuration is no service's.
        root: above /proc, /sys, /dev, /run, /etc and /var.
    """

    path: Path
    config: Config | None
    unit: Unit | None
    root: Path = ROOT
    show: Show = units.show
    clock: Clock = field(default_factory=SystemClock)

    @property
    def is_service(self) -> bool:
        """Whether systemd has a service for the configuration."""
        return self.unit is not None and self.unit.is_installed

    @property
    def state(self) -> Path:
        """The state root that the daemon uses: the service's, or that of who runs this."""
        if self.is_service and not os.environ.get("STATE_DIRECTORY"):
            return self.root / SYSTEM.relative_to("/")
        return state_root()

    @property
    def folder(self) -> Path:
        """The device's own folder in it; the root itself without a configuration."""
        return self.state if self.config is None else self.state / self.config.device.name


def unit_of(path: Path, root: Path = ROOT, show: Show = units.show) -> Unit | None:
    """The service that runs a configuration; None where it is no service's, or systemd does not answer."""
    whole = path.absolute()
    return show(f"{whole.stem}.service") if whole.parent == root / SERVICES else None


def credentials(path: Path, environ: Mapping[str, str], root: Path = ROOT, show: Show = units.show) -> dict[str, str]:
    """What has a configuration find the passwords that systemd hands to its service.

    Returns:
        Variables for the environment, by which alone it looks for them; none where they are set already.
    """
    if environ.get("CREDENTIALS_DIRECTORY"):
        return {}
    unit = unit_of(path, root, show)
    files = [Path(file) for file in (unit.credentials.values() if unit else ())]
    return {"CREDENTIALS_DIRECTORY": str(files[0].parent if files else root / CREDENTIALS)}
