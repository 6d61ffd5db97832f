"""`edged model sign`: for whoever makes models, on their own machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--key", type=Path, metavar="FILE", help="the private key")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="make a private key first")
    parser.add_argument(
        "--downgrade-from",
        metavar="VERSION",
        help="print a signed downgrade instead: boards that accepted VERSION may go back to the one in FOLDER",
    )
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="a model folder")
    parser.set_defaults(usage=parser.error)


def execute(args: argparse.Namespace) -> int:
    """Signs; says the public key as the configuration wants it."""
    from edged.core.errors import RunError

    if (args.key is None) == (args.new_key is None) or (args.folder is None and args.new_key is None):
        args.usage("expected --new-key FILE, or --key FILE and FOLDER")
    if args.downgrade_from and (args.folder is None or args.new_key is not None):
        args.usage("--downgrade-from goes with --key FILE and FOLDER")
    try:
        return _sign(args)
    except OSError as error:
        raise RunError(f"{error.filename}: {error.strerror}; expected a place that can be written") from None


def _sign(args: argparse.Namespace) -> int:
    from edged.modelstore import load, manifest, signature, trust

    if args.downgrade_from:
        statement = trust.downgrade(manifest.read(args.folder), args.downgrade_from, args.key)
        sys.stdout.write(statement.decode())
        return 0
    key: Path = args.key or args.new_key
    public = signature.new_key(key) if args.new_key else signature.public_key(key)
    if args.folder is not None:
        # Nobody wants to have signed what no board would take.
        package = load(args.folder)
        signature.sign_folder(args.folder, key)
        print(f"signed {package.name} {package.version}")
    print(f'trusted_keys = ["{key.stem}:{public}"]')
    return 0
