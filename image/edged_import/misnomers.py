"""What a file of the card was meant to be, by a name that is nearly one that is looked for.

Windows and macOS hide what is behind the dot, and editors put something of their own there.

Law: names only, no file is looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ENDS = frozenset({"", "toml", "tml", "txt", "text", "rtf", "ini", "conf", "cfg", "pub"})
"""What people and their editors put behind the dot. `.bak`, `.old` and the like were meant to be something else."""


def meant(found: str, wanted: Iterable[str]) -> str | None:
    """The name that was meant; None where it is one of these, in whatever case, or none that is like one of these.

    Args:
        found: the name of a file.
        wanted: the names that are looked for.
    """
    first, _, rest = found.lower().partition(".")
    ends = (end.strip() for end in rest.split("."))
    if not all(end in _ENDS for end in ends):
        return None
    return next((name for name in wanted if _letters(name) == _letters(first) and name != found.lower()), None)


def _letters(name: str) -> str:
    """Those before the dot, without the number of a repeated download and what stands between words."""
    first = re.sub(r" ?\(\d+\)$", "", name.partition(".")[0].strip())
    return re.sub(r"[ _-]", "", first).replace("authorised", "authorized")
