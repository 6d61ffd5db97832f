"""`edged model verify`: whether a model is what its manifest says, and whose it is."""

from __future__ import annotations

import argparse

from edged.cli.model.keeper import add_keeper_arguments, keeper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_keeper_arguments(parser)
    parser.add_argument("model", nargs="?", metavar="NAME|PATH", help="left out: every model of this machine")


def execute(args: argparse.Namespace) -> int:
    """Verifies; 78 where one is not sound, by the error of the last of them."""
    from edged.core.errors import ModelError

    ours = keeper(args)
    names = [args.model] if args.model else [one.folder or one.name for one in ours.listed()]
    wrong: list[str] = []
    for name in names:
        try:
            package, signed_by = ours.verify(name)
        except ModelError as error:
            wrong.append(str(error))
            continue
        print(f"{package.name} {package.version}: sound, {f'signed by {signed_by}' if signed_by else 'not signed'}")
    if wrong:
        raise ModelError("\n".join(wrong))
    return 0
