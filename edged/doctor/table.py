"""The table of an examination: its lines as they come, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edged
from edged.core import findings
from edged.core.findings import Finding
from edged.doctor.examination import examine


class Table:
    """Examines while it is iterated over; the rest is for afterwards.

    Args:
        path: of the configuration.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._findings: list[Finding] = []

    def __iter__(self) -> Iterator[Finding]:
        for finding in examine(self._path):
            self._findings.append(finding)
            yield finding

    @property
    def is_sound(self) -> bool:
        """Whether there is no problem."""
        return findings.is_sound(self._findings)

    def summary(self) -> str:
        """One line for a person."""
        return findings.summary(self._findings)

    def as_object(self) -> dict[str, Any]:
        """All of it, as `schema/doctor.json` describes it."""
        return findings.as_object(edged.__version__, str(self._path), self._findings)
