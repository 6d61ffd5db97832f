"""python3 -m edged_import: what edged-import.service does, once a start of the board."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from edged_import import board
from edged_import.card import Card
from edged_import.importing import Import

BOOT, ROOT = Path("/boot/firmware"), Path("/")


def main() -> None:
    """Takes what is new, names the board, and tells on the card and in the journal what is wrong. Never fails a boot."""
    card = Card(BOOT, partial(board.make_writable, BOOT))
    importing = Import(card, ROOT, board.check)
    problems = importing.run()
    for problem in problems:
        print(problem, file=sys.stderr)
    try:
        board.set_host_name(importing.host_name(board.serial()))
    except OSError as error:
        print(f"the board's name could not be set: {error}", file=sys.stderr)
    try:
        card.tell(problems)
    except OSError as error:
        print(f"edged-error.txt could not be written: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
