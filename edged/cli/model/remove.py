"""`edged model remove`: versions leave the store."""

from __future__ import annotations

import argparse

from edged.cli.model.keeper import add_keeper_arguments, keeper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_keeper_arguments(parser)
    parser.add_argument("model", metavar="NAME[@VERSION]", help="without a version: all of them")


def execute(args: argparse.Namespace) -> int:
    """Removes what is not in use."""
    for path in keeper(args).remove(args.model):
        print(f"removed {path.name}")
    return 0
