"""`edged model pull`: a model of the catalogue comes over the network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edged.cli.model.keeper import add_keeper_arguments, keeper

WIDTH = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_keeper_arguments(parser)
    parser.add_argument("--catalogue", type=Path, metavar="FILE", help="a catalogue of your own")
    parser.add_argument("model", nargs="?", metavar="NAME", help="left out: list what the catalogue has")


def execute(args: argparse.Namespace) -> int:
    """Downloads and installs, or lists."""
    from edged.modelstore import catalogue

    found = catalogue.load(args.catalogue or catalogue.OURS)
    if args.model is None:
        for one in found.model:
            print(f"{one.name} {one.version} ({one.size_bytes / 1e6:.1f} MB, {one.licence})")
            print(f"  {one.summary}")
        return 0
    from edged.modelstore.store import AT
    from edged.pulling import pull

    entry = found.entry(args.model)
    ours = keeper(args)
    known = (ours.store / f"{entry.name}{AT}{entry.version}").is_dir()
    installed = pull(ours, entry, _show if sys.stderr.isatty() else lambda *_words: None)
    if known:
        print(f"{installed.name} was there already, the same")
    else:
        print(f"installed {installed.name}; use it with: edged model use {installed.name}")
    return 0


def _show(name: str, have_bytes: int, size_bytes: int) -> None:
    done = have_bytes / size_bytes
    bar = "#" * int(done * WIDTH)
    end = "\n" if have_bytes == size_bytes else ""
    print(f"\r{name} [{bar:<{WIDTH}}] {done:4.0%}", end=end, file=sys.stderr, flush=True)
