"""`edged run`: the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Mapping
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


def lent(args: argparse.Namespace) -> Mapping[str, Path]:
    """Where a command finds the passwords that systemd hands to the service of its `--config`."""
    from edged import instances

    return instances.lent(args.config)


def tell_state() -> None:
    """Tells whose state a command uses, where a person may take it for the service's."""
    from edged import app

    note = app.whose_state()
    if note is not None:
        print(note, file=sys.stderr)


def execute(args: argparse.Namespace) -> int:
    """Runs until a signal or the end of a clip; a `restart` over MQTT starts the same command line anew."""
    from edged import app

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    tell_state()
    stop, again = threading.Event(), threading.Event()

    def restart() -> None:
        again.set()
        stop.set()

    with app.stop_on_signals(stop):
        config, fitted = app.load(
            args.config, lambda warning: logging.getLogger("edged").warning("%s", warning), lent=lent(args)
        )
        app.run(config, fitted, stop, print_events=args.print_events, restart=restart)
    if again.is_set():
        # By itself, so that it comes back whoever started it; the process keeps its number, and systemd its service.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the command line it has
    return 0
