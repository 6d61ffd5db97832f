"""The line that `systemctl status` shows: what the pipeline is doing, told when it changes."""

from __future__ import annotations

from collections.abc import Callable

from edged.core.pipeline import Pipeline


class Status:
    """Done a little at each turn.

    Args:
        say: takes one line.
    """

    def __init__(self, pipeline: Pipeline, say: Callable[[str], None]) -> None:
        self._pipeline, self._say = pipeline, say
        self._told = 0

    def turn(self) -> None:
        """Says what is new: the state in words, and why."""
        pipeline = self._pipeline
        if pipeline.version == self._told:
            return
        self._told = pipeline.version
        state = pipeline.state.replace("_", " ")
        # A line feed would begin another assignment (sd_notify(3)).
        self._say(" ".join((state if pipeline.reason is None else f"{state}: {pipeline.reason}").split()))
