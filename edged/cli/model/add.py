"""`edged model add`: a model folder or a bare model goes into the store."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edged.cli.model import bare
from edged.cli.model.keeper import add_keeper_arguments, keeper

if TYPE_CHECKING:
    from edged import adopting
    from edged.keeping import Keeper

TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_keeper_arguments(parser)
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a .tflite, a zip with one, or a model folder, see docs/models.md"
    )
    bare.add_arguments(parser)
    parser.set_defaults(usage=parser.error)


def execute(args: argparse.Namespace) -> int:
    """Installs, says what was assumed of a bare model, and how to use it."""
    from edged import adopting

    ours = keeper(args)
    if adopting.is_bare(args.model):
        return _adopt(args, ours)
    if said := bare.said(args):
        args.usage(f"{said[0]} is for a bare .tflite or a zip; a model folder says it in its model.toml")
    _installed(ours.add(args.model if args.model.is_dir() else args.model.parent))
    return 0


def _adopt(args: argparse.Namespace, ours: Keeper) -> int:
    from edged import adopting

    options = bare.options(args)
    for _ in range(2):
        try:
            with adopting.adopted(args.model, options, ours) as found:
                return _finish(args, ours, found)
        except adopting.Unanswered as open_questions:
            if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
                asked = "; ".join(f"{one.text}: say {one.option}" for one in open_questions.questions)
                args.usage(f"{args.model}: {asked}")
            options = replace(options, **bare.answers(open_questions.questions))
    args.usage(f"{args.model}: the answers were not enough")
    return 2


def _finish(args: argparse.Namespace, ours: Keeper, found: adopting.Adopted) -> int:
    from edged import adopting

    if args.into is None:
        adopting.heed_policy(found, ours)
    picture = args.picture or adopting.own_picture()
    # Before a word: what cannot be run is one sentence and nothing else.
    top = adopting.scores_of(found, picture, TOP) if args.picture or picture.is_file() else []
    kind = "detector" if found.task == "detect" else "classifier"
    print(f"{args.model}: a {kind}, taken as")
    for line in bare.lines(found.assumptions):
        print(f"  {line}")
    if top:
        own = f"a picture of edged's own, {picture.name} (yours: --picture FILE)"
        print(f"on {args.picture or own}")
    for label, score in top:
        print(f"  {score:7.2%}  {label}")
    if args.into is not None:
        adopting.keep_folder(found, args.into)
        print(f"wrote {args.into}; install it with: edged model add {args.into}")
        return 0
    installed = ours.add(found.folder)
    if found.known:
        print(f"{installed.name} was there already, the same")
        return 0
    _installed(installed)
    print(f"try it with: edged classify --model {installed.name} PICTURE")
    return 0


def _installed(folder: Path) -> None:
    print(f"installed {folder.name}; use it with: edged model use {folder.name}")
