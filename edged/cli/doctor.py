"""`edged doctor`: what ails this board, its camera, its broker, and what to do about it."""

from __future__ import annotations

import argparse
import json
import logging
import textwrap
from collections.abc import Iterator
from typing import Any

from edged.cli.run import add_config_argument

WIDTH = 79
"""Of a serial console, less one: some wrap at the last column."""
MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM", "not available": "not available"}
COLUMNS = (14, 14)
"""Of the check and of its status."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else on stdout")


def execute(args: argparse.Namespace) -> int:
    """Looks at everything; 1 where there is a problem, a configuration that cannot be used included."""
    from edged import doctor

    # What cameras and connections say of themselves comes in the table, in its place.
    logging.getLogger("edged").addHandler(logging.NullHandler())
    table = doctor.Table(args.config)
    for finding in table:
        if not args.json:
            print("\n".join(_lines(finding)), flush=True)
    if args.json:
        print(json.dumps(table.as_object(), ensure_ascii=False, indent=2))
    else:
        print(table.summary())
    return 0 if table.is_sound else 1


def _lines(finding: Any) -> Iterator[str]:
    """One line of the table, wrapped; what to do stands below what was found."""
    check, status = COLUMNS
    head = f"{finding.check:<{check}}{MARKS[finding.status]:<{status}}"
    indent = " " * (check + status)
    yield from textwrap.wrap(
        finding.found, WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
    )
    if finding.advice:
        yield from textwrap.wrap(
            finding.advice,
            WIDTH,
            initial_indent=f"{indent}-> ",
            subsequent_indent=f"{indent}   ",
            break_on_hyphens=False,
        )
