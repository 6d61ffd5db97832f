"""From what a configuration says of signatures to who judges models by it. Part of the composition root."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

from edged.config import Config, ModelTable
from edged.core.errors import ModelError
from edged.edges.clock import SystemClock
from edged.modelstore import Trust

log = logging.getLogger("edged")


def trust(table: ModelTable | None, root: Path) -> Trust:
    """The keys and the policy of a configuration's [model]; without one nothing is asked for.

    Args:
        root: the state root.
    """
    if table is None:
        return Trust(store=root / "models")
    keys = {key: name for name, _, key in (one.partition(":") for one in table.trusted_keys)}
    clock = SystemClock()
    now = clock.label(clock.monotonic())
    # The one decision by the wall clock, once at the start, and only where somebody vouches for it.
    today = datetime.datetime.fromtimestamp(now.utc_s, datetime.UTC).date() if now.clock == "synced" else None
    return Trust(table.policy, keys, root / "models", today)


def accept(config: Config, root: Path, folder: Path) -> None:
    """What runs is the oldest that may run from now on; a disk that cannot note it is no reason to stop."""
    try:
        trust(config.model, root).accept(folder)
    except (OSError, ModelError) as error:
        log.warning("it cannot be kept which version was accepted (%s); going on without", error)
