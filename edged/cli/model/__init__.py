"""`edged model`: models come and go. One file a command, as in `edged.cli`."""

from __future__ import annotations

import argparse
import importlib

COMMANDS = {
    "list": "list the models of this machine and what is known of each",
    "pull": "download a model of the catalogue and install it",
    "add": "install a model folder",
    "use": "choose the version of a model that is used",
    "verify": "verify hashes and signature of a model",
    "remove": "remove versions of a model from the store",
    "sign": "sign a model folder, or make a key to sign with",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The commands below `edged model`."""
    commands = parser.add_subparsers(dest="model_command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"edged.cli.model.{name}")
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        module.add_arguments(command)
        command.set_defaults(perform=module.execute)


def execute(args: argparse.Namespace) -> int:
    """Does what the command below says."""
    code: int = args.perform(args)
    return code
