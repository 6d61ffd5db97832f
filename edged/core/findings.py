"""What `edged doctor` finds: one line a check, and what a person can do about it.

Law: values and their form alone. What figures mean is in `board_findings.py` and `service_findings.py`; nothing here
holds pixels or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

SCHEMA = 1

Status = Literal["ok", "warning", "problem", "not available"]
"""ok: as it should be. warning: it runs, and something is worth knowing. problem: it does not run, or will not for
long. not available: cannot be known here, or not by this user."""

STATUSES: tuple[str, ...] = get_args(Status)

CHECKS = (
    *("configuration", "model", "speed", "rules", "camera", "csi", "broker", "publishing", "discovery", "device"),
    *("clock", "power", "temperature", "memory", "disk", "state", "outbox", "secrets", "core dumps", "service"),
    *("network lock", "instances"),
)
"""Every check by its name, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table.

    Attributes:
        check: one of `CHECKS`.
        found: what was found, in words; no full stop.
        advice: what to do; empty where there is nothing to do.
    """

    check: str
    status: Status
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """As it should be."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, advice: str) -> Finding:
    """It runs, and something is worth knowing."""
    return Finding(check, "warning", found, advice)


def problem(check: str, found: str, advice: str) -> Finding:
    """It does not run, or will not for long."""
    return Finding(check, "problem", found, advice)


def unavailable(check: str, found: str, advice: str = "") -> Finding:
    """It cannot be known here, or not by this user."""
    return Finding(check, "not available", found, advice)


def trouble(check: str, sentence: str, advice: str, mark: str = "; ") -> Finding:
    """A problem from the sentence of an edge.

    Args:
        mark: what stands in the sentence between what is wrong and what to do.
        advice: where the sentence has none.
    """
    what, _, todo = sentence.partition(mark)
    return problem(check, what, todo or advice)


def is_sound(findings: Sequence[Finding]) -> bool:
    """Whether there is no problem; warnings are none."""
    return all(finding.status != "problem" for finding in findings)


def summary(findings: Sequence[Finding]) -> str:
    """One line for a person: how many problems and warnings."""
    counts = {status: sum(finding.status == status for finding in findings) for status in ("problem", "warning")}
    told = [f"{count} {status}{'' if count == 1 else 's'}" for status, count in counts.items() if count]
    return ", ".join(told) or "no problem"


def as_object(version: str, config: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """The table for JSON, as `schema/doctor.json` describes it."""
    return {
        "schema": SCHEMA,
        "version": version,
        "config": config,
        "sound": is_sound(findings),
        "findings": [
            {"check": one.check, "status": one.status, "found": one.found, "advice": one.advice or None}
            for one in findings
        ],
    }
