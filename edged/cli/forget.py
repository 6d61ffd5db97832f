"""`edged forget`: a device leaves the broker without a trace."""

from __future__ import annotations

import argparse
import sys

from edged.cli.run import add_config_argument, lent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_config_argument(parser)


def execute(args: argparse.Namespace) -> int:
    """Clears, and says how many topics."""
    from edged import watching
    from edged.config import load

    config = load(args.config, lent(args))
    said: set[str] = set()

    def say(text: str) -> None:
        if text not in said:
            said.add(text)
            print(f"edged forget: {text}", file=sys.stderr)

    count = watching.forget(config, say)
    print(f"cleared {count} retained {'topic' if count == 1 else 'topics'} of {config.device.name}")
    return 0
