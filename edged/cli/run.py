"""`edged run`: the daemon."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from pathlib import Path

DEFAULT_CONFIG = Path("/etc/edged/edged.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_config_argument(parser)
    parser.add_argument("--print-events", action="store_true", help="also write every event as a JSON line on stdout")


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """`--config`, for every command that reads the configuration."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"the configuration ({DEFAULT_CONFIG})"
    )


def tell_state() -> None:
    """Tells whose state a command uses, where a person may take it for the service's."""
    from edged import app

    note = app.whose_state()
    if note is not None:
        print(note, file=sys.stderr)


def execute(args: argparse.Namespace) -> int:
    """Runs until a signal or the end of a clip."""
    from edged import app
    from edged.config import load

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    tell_state()
    stop = threading.Event()
    with app.stop_on_signals(stop):
        config = load(args.config)
        for warning in config.warnings:
            logging.getLogger("edged").warning("%s", warning)
        fitted = app.fit(config)
        app.run(config, fitted, stop, print_events=args.print_events)
    return 0
