"""What the commands below `edged model` have in common: whose keys and whose store."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edged.cli.run import DEFAULT_CONFIG, add_config_argument, tell_state

if TYPE_CHECKING:
    from edged.keeping import Keeper


def add_keeper_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config`, whose keys and policy hold."""
    add_config_argument(parser)


def keeper(args: argparse.Namespace) -> Keeper:
    """The models of this machine, by the configuration where there is one."""
    from edged.config import load
    from edged.keeping import Keeper

    tell_state()
    # A board that has none yet can be given its models before.
    absent = args.config == DEFAULT_CONFIG and not DEFAULT_CONFIG.exists()
    return Keeper(None if absent else load(args.config))
