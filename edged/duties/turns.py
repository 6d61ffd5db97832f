"""A finished turn of the loop, for everyone who does a little at each."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Turns:
    """What the loop takes for its heartbeat."""

    def __init__(self, turns: Sequence[Callable[[], object]]) -> None:
        self._turns = tuple(turns)

    def beat(self) -> None:
        """Has everyone do theirs, in order."""
        for turn in self._turns:
            turn()
