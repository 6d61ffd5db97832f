"""`edged model use`: which version of a model its name stands for."""

from __future__ import annotations

import argparse
from pathlib import Path

from edged.cli.model.keeper import add_keeper_arguments, keeper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_keeper_arguments(parser)
    parser.add_argument(
        "--downgrade", type=Path, metavar="FILE", help="a signed downgrade, where an older version was refused"
    )
    parser.add_argument(
        "model", type=_name, metavar="NAME[@VERSION]", help="without a version: the newest that is allowed"
    )


def execute(args: argparse.Namespace) -> int:
    """Judges, verifies, loads, tests, and remembers."""
    models = keeper(args)
    package = models.use(args.model, args.downgrade)
    follows = "; a running edged tries it within seconds" if models.is_for(package) else ""
    print(f"model {package.name} is version {package.version} from now on{follows}")
    return 0


def _name(text: str) -> str:
    if "/" in text or text.endswith(".tflite"):
        raise argparse.ArgumentTypeError(
            f"expected NAME or NAME@VERSION, found the path {text!r}; install it with: edged model add {text}"
        )
    return text
