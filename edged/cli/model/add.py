"""`edged model add`: a model folder goes into the store."""

from __future__ import annotations

import argparse
from pathlib import Path

from edged.cli.model.keeper import add_keeper_arguments, keeper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_keeper_arguments(parser)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a model folder, see docs/models.md")


def execute(args: argparse.Namespace) -> int:
    """Installs, and says how to use it."""
    installed = keeper(args).add(args.folder)
    print(f"installed {installed.name}; use it with: edged model use {installed.name}")
    return 0
