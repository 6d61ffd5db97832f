"""The name of the board.

Law: text in, text out; no file is opened here.
"""

from __future__ import annotations

import re

from edged_import.texts import Problem, Refused, plain_lines

UNNAMED = "edged"
"""What the image calls a board that has not been named yet."""
REFUSED = ("all", "models")
"""Names that `[device] name` refuses: a configuration that leaves it out takes the name of the board."""


def read(name: str, plain: str) -> str | None:
    """The name that hostname.txt gives; None: none.

    Raises:
        Refused: it is no host name, or one that no device may have, or there are several.
    """
    lines = plain_lines(plain)
    if not lines:
        return None
    (number, line), *more = lines
    if more:
        raise Refused(Problem(name, more[0][0], f"expected one name, and line {number} has it already"))
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", line.lower()):
        allowed = 'a to z, 0 to 9 and "-" between them, at most 63'
        raise Refused(Problem(name, number, f"found {line[:20]!r}; expected a name of {allowed}"))
    if line.lower() in REFUSED:
        raise Refused(Problem(name, number, f"{line.lower()} means something else to edged; choose another name"))
    return line.lower()


def from_serial(serial: str) -> str:
    """`edged-` and the last eight digits of the board's serial number; without one, the name stays."""
    digits = re.sub(r"[^0-9a-f]", "", serial.lower())[-8:]
    return f"{UNNAMED}-{digits}" if len(digits) == 8 and digits.strip("0") else UNNAMED
