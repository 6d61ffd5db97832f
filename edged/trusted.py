"""From what a configuration says of signatures to who judges models by it. Part of the composition root."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

from edged.beginning import in_use
from edged.config import Config, Outline, outline
from edged.core.errors import ModelError
from edged.edges.clock import SystemClock
from edged.modelstore import Trust

log = logging.getLogger("edged")


def trust(asked: Outline, root: Path) -> Trust:
    """The keys and the policy of a configuration's [model]; without one nothing is asked for.

    Args:
        root: the state root.
    """
    table = asked.model
    if table is None:
        return Trust(store=root / "models")
    keys = {key: name for name, _, key in (one.partition(":") for one in table.trusted_keys)}
    clock = SystemClock()
    now = clock.label(clock.monotonic())
    # The one decision by the wall clock, once at the start, and only where somebody vouches for it.
    today = datetime.datetime.fromtimestamp(now.utc_s, datetime.UTC).date() if now.clock == "synced" else None
    runs = in_use(root, asked.device.name) if asked.device is not None else frozenset()
    return Trust(table.policy, keys, root / "models", today, runs)


def trust_of(config: Config | None, root: Path) -> Trust:
    """The same of a valid configuration; None: there is none."""
    return Trust(store=root / "models") if config is None else trust(outline(config), root)


def accept(config: Config, root: Path, folder: Path) -> None:
    """What runs is the oldest that may run from now on; a disk that cannot note it is no reason to stop."""
    try:
        trust_of(config, root).accept(folder)
    except (OSError, ModelError) as error:
        log.warning("it cannot be kept which version was accepted (%s); going on without", error)
