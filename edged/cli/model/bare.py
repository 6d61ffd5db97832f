"""What a person says of a bare model: options of `edged model add`, and questions on a terminal."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edged import adopting

NAMES = {
    "labels": "--labels",
    "label": "--label",
    "name": "--name",
    "version": "--version",
    "licence": "--licence",
    "source": "--source",
    "color": "--color",
    "fit": "--fit",
    "mean": "--mean",
    "std": "--std",
    "activation": "--activation",
    "background": "--background",
    "outputs": "--outputs",
    "picture": "--picture",
    "into": "--into",
}
"""Options of a bare model, by where argparse keeps them."""
PIXELS = {"1": (127.5, 127.5), "2": (0.0, 255.0), "3": (0.0, 1.0)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; what is left out is found out, assumed and told, or asked."""
    group = parser.add_argument_group("of a bare .tflite or a zip with one; what is left out is found out and told")
    add = group.add_argument
    add("--labels", type=Path, metavar="FILE", help="its labels, one a line")
    add("--label", action="append", metavar="NAME", help="a label, once for each output in their order")
    add("--name", metavar="NAME", help="of the model: a-z, 0-9, '.', '_' and '-'; else that of the file")
    add("--version", metavar="VERSION", help="else the next")
    add("--licence", metavar="TEXT", help="of the weights")
    add("--source", metavar="TEXT", help="where the weights come from")
    add("--color", choices=("rgb", "bgr", "grey"), help="the order of the input's channels")
    add("--fit", choices=("stretch", "center-crop", "letterbox"), help="how a picture gets the input's size")
    add("--mean", type=_numbers, metavar="N[,N,N]", help="real value = (pixel - mean) / std, pixels from 0 to 255")
    add("--std", type=_positives, metavar="N[,N,N]", help="see --mean")
    add("--activation", choices=("none", "softmax", "sigmoid"), help="how its outputs become scores")
    add("--background", type=_index, metavar="N", help="number of the output that means nothing of this, from 0")
    add("--outputs", type=_four, metavar="N,N,N,N", help="a detector's boxes, classes, scores and count, from 0")
    add("--picture", type=Path, metavar="FILE", help="show its scores on this picture")
    add("--into", type=Path, metavar="FOLDER", help="write the model folder there, to edit or sign it; install nothing")


def said(args: argparse.Namespace) -> list[str]:
    """Which of the options were given."""
    return [option for key, option in NAMES.items() if getattr(args, key) is not None]


def options(args: argparse.Namespace) -> adopting.Options:
    """The options as the adoption takes them."""
    from edged import adopting

    if args.labels is not None and args.label:
        args.usage("--labels and --label are two ways to say the same; give one of them")
    return adopting.Options(
        labels=tuple(args.label or ()),
        labels_text=None if args.labels is None else adopting.read_labels(args.labels),
        labels_place=str(args.labels),
        name=args.name,
        version=args.version,
        licence=args.licence,
        source=args.source,
        color=args.color,
        fit=args.fit,
        mean=args.mean or (),
        std=args.std or (),
        activation=args.activation,
        background=args.background,
        outputs=args.outputs,
    )


def answers(questions: Sequence[adopting.Question]) -> dict[str, Any]:
    """Asks on the terminal; an answer that cannot be used is asked for again."""
    from edged import adopting

    found: dict[str, Any] = {}
    for question in questions:
        print(f"{question.text}.")
        if question.key == "pixels":
            answer = _asked("1: -1 to 1   2: 0 to 1   3: 0 to 255   Which? ", lambda text: text in PIXELS)
            mean, std = PIXELS[answer]
            found |= {"mean": (mean,), "std": (std,)}
            continue
        answer = _asked("A label file, or the labels with commas in between: ", lambda text: bool(text.strip(" ,")))
        if Path(answer).is_file():
            found |= {"labels_text": adopting.read_labels(Path(answer)), "labels_place": answer}
        else:
            found["labels"] = tuple(part.strip() for part in answer.split(",") if part.strip())
    return found


def _asked(prompt: str, fits: Any) -> str:
    while True:
        try:
            answer = input(prompt).strip()
        except EOFError:
            raise KeyboardInterrupt from None
        if fits(answer):
            return answer


def lines(assumptions: Sequence[adopting.Assumption]) -> Iterator[str]:
    """One a subject: what, why, and what changes it; what is only a guess says so."""
    for one in assumptions:
        guess = "" if one.told else "a guess: "
        yield f"{one.subject + ':':<12}{one.value}  ({guess}{one.reason}; {one.option})"


def _numbers(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in (1, 3) or not all(map(math.isfinite, found)):
        raise argparse.ArgumentTypeError(f"expected one number, or three with commas in between, found {text!r}")
    return found


def _positives(text: str) -> tuple[float, ...]:
    found = _numbers(text)
    if min(found) <= 0:
        raise argparse.ArgumentTypeError(f"expected numbers above 0, found {text!r}")
    return found


def _index(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, found {text!r}")
    return int(text)


def _four(text: str) -> tuple[int, ...]:
    found = tuple(_index(part) for part in text.split(","))
    if sorted(found) != [0, 1, 2, 3]:
        raise argparse.ArgumentTypeError(f"expected the numbers 0 to 3 in their order, as 0,1,2,3, found {text!r}")
    return found
