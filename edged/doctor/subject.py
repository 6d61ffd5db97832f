"""Who is examined: a configuration, the service that runs it, and the board around it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from edged.config import Config
from edged.core.service_findings import Unit
from edged.edges import units
from edged.edges.clock import SystemClock
from edged.edges.state_folder import SYSTEM, state_root
from edged.instances import ROOT, Show
from edged.ports import Clock


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
