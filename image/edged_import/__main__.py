"""python3 -m edged_import [FILE...]: what edged-import.service does, once a start of the board.

FILE: only these files of the card, where something else sees to the others, as Raspberry Pi OS does.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from edged_import import board
from edged_import.card import Card
from edged_import.importing import FILES, Import

BOOT, ROOT = Path("/boot/firmware"), Path("/")


def main() -> None:
    """Takes what is new, names the board, and tells on the card and in the journal what is wrong. Fails no boot."""
    files = sys.argv[1:] or FILES
    card = Card(BOOT, partial(board.make_writable, BOOT) if _read_only() else lambda _writable: None)
    problems = Import(card, ROOT, board.check, board.set_host_name, board.serial).run(files)
    for problem in problems:
        print(problem, file=sys.stderr)
    try:
        card.tell(problems)
    except OSError as error:
        print(f"edged-error.txt could not be written: {error}", file=sys.stderr)


def _read_only() -> bool:
    try:
        return bool(os.statvfs(BOOT).f_flag & os.ST_RDONLY)
    except OSError:
        return True  # and making it writable says what is wrong


if __name__ == "__main__":
    main()
