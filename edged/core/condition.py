"""What figures about the board and the process mean: problems in words, and the end that comes before a worse one.

Law: pure. A figure whose source does not exist is None and no problem.
"""

from __future__ import annotations

from dataclasses import dataclass

DISK_LOW_MB = 100.0
"""Three times what the event store may take by default: it goes on for days from here."""
HOT_C = 80.0
"""From here on a Raspberry Pi slows itself down."""
MEMORY_HIGH_SHARE = 0.75
"""Of the head room between what the process began with and its limit."""
UNSYNCED_S = 600.0
"""A time server is asked within seconds of the network being up; a board that starts with its router waits minutes."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Figures of one moment, for `D/health` and for what is made of them.

    Attributes:
        anonymous_mb: what the process allocated, in MB of 10^6 bytes.
        begun_mb: the same when its loop began to turn.
        memory_limit_mb: so much of it ends the process.
        memory_cgroup: whether the kernel would enforce limits of systemd.
        disk_free_mb: what is free where the state folder is.
        unsynced_s: for how long the wall clock has not been set by a time server; None where it is.
    """

    anonymous_mb: float | None
    begun_mb: float | None
    memory_limit_mb: float | None
    memory_cgroup: bool | None
    disk_free_mb: float | None
    soc_temp_c: float | None
    undervoltage: bool | None
    throttled: bool | None
    unsynced_s: float | None


def exhausted(now: Condition) -> str | None:
    """Why the process has to end now; None while it need not."""
    if now.anonymous_mb is None or now.memory_limit_mb is None or now.anonymous_mb < now.memory_limit_mb:
        return None
    begun = "" if now.begun_mb is None else f" and began with {now.begun_mb:.0f}"
    return f"memory: the process takes {now.anonymous_mb:.0f} MB{begun}; more than {now.memory_limit_mb:.0f} ends it"


def complaints(now: Condition) -> dict[str, str]:
    """What a person should know or mend: one sentence a code. The same trouble has the same sentence every time."""
    found = {}
    if now.undervoltage:
        found["undervoltage"] = (
            "the power supply is too weak: use one of 5 V that is made for this board, or a thicker cable"
        )
    if now.throttled:
        found["throttled"] = "the firmware slows the board down, because of heat or weak power: see to both"
    if now.soc_temp_c is not None and now.soc_temp_c >= HOT_C:
        found["hot"] = f"the board is at {HOT_C:g} °C or more and slows itself down: give it air or a heat sink"
    if now.disk_free_mb is not None and now.disk_free_mb < DISK_LOW_MB:
        found["disk_low"] = f"less than {DISK_LOW_MB:g} MB are free where events are stored: delete what is not needed"
    limit_mb = high_mb(now)
    if limit_mb is not None and now.anonymous_mb is not None and now.anonymous_mb >= limit_mb:
        found["memory_high"] = (
            f"the process takes more than {limit_mb:.0f} MB of memory and restarts at {now.memory_limit_mb:.0f}"
        )
    if now.unsynced_s is not None and now.unsynced_s >= UNSYNCED_S:
        found["clock_unsynced"] = (
            "no time server has set the clock, so that times may be wrong: let the board reach one (NTP, UDP port 123)"
        )
    return found


def high_mb(now: Condition) -> float | None:
    """From here on the memory of the process is a problem; None where it is not known."""
    if now.memory_limit_mb is None or now.begun_mb is None:
        return None
    return now.begun_mb + MEMORY_HIGH_SHARE * (now.memory_limit_mb - now.begun_mb)
