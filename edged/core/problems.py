"""What is wrong now, for `D/health` and for the journal: each problem once, from when it began until it is gone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a person should know or mend.

    Attributes:
        code: a word of `wire.PROBLEM_CODES`.
        text: one sentence.
        since_s: monotonic seconds.
    """

    code: str
    text: str
    since_s: float


class Problems:
    """The problems of a device, at most one a code.

    Attributes:
        version: counts changes, so that a reader can see that there was one.
    """

    def __init__(self) -> None:
        self._open: dict[str, Problem] = {}
        self.version = 0

    def set(self, code: str, text: str | None, t_s: float) -> bool:
        """Opens the problem, or closes it where `text` is None. True when that changed anything.

        A new text for an open problem replaces the old one and keeps its beginning.
        """
        known = self._open.get(code)
        if text is None:
            if known is None:
                return False
            del self._open[code]
        elif known is not None and known.text == text:
            return False
        else:
            self._open[code] = Problem(code, text, known.since_s if known else t_s)
        self.version += 1
        return True

    def all(self) -> tuple[Problem, ...]:
        """What is open, oldest first."""
        return tuple(self._open.values())
