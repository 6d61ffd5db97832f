"""`edged classify`: scores of still images, for trying a model out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edged.cli.run import tell_state

DEFAULT_MODEL = "efficientnet-lite0-int8"


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """`--model`, for every command that takes one by hand."""
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME|PATH",
        help=f"a model of the store, or a .tflite with its manifest ({DEFAULT_MODEL})",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model_argument(parser)
    parser.add_argument("--top", type=_positive, default=5, metavar="N", help="how many labels a picture (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, nothing else on stdout")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="pictures")


def execute(args: argparse.Namespace) -> int:
    """Scores every picture it can read; 1 when it could not read one."""
    from edged import app
    from edged.core.errors import CameraError

    tell_state()
    classify = app.still_classifier(args.model)
    code = 0
    for file in args.files:
        try:
            top = classify(file, args.top)
        except CameraError as error:
            print(f"edged classify: {error}", file=sys.stderr)
            code = 1
            continue
        if args.json:
            scores = [{"label": label, "score": round(score, 4)} for label, score in top]
            print(json.dumps({"file": str(file), "top": scores}, ensure_ascii=False))
        else:
            print(file)
            for label, score in top:
                print(f"  {score:7.2%}  {label}")
    return code


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)
