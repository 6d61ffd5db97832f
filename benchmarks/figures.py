"""Figures that all benchmarks share: quartiles of samples, memory of a process. Standard library only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

Quartiles = dict[str, float]


def quartiles(samples: Sequence[float]) -> Quartiles:
    """Median and quartiles of at least two samples."""
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return {"q1": low, "median": middle, "q3": high}


def spread(of: Quartiles, digits: int = 3) -> str:
    """A median with its quartiles, for people."""
    return f"{of['median']:.{digits}f} ({of['q1']:.{digits}f} to {of['q3']:.{digits}f})"


def memory(pid: int) -> dict[str, float]:
    """Resident memory of a process in MB of 10^6 bytes: all of it, and the anonymous part."""
    # Not smaps_rollup: of a process without core dumps only root may read that.
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    return {"rss_mb": kib["VmRSS"] * 1.024e-3, "anonymous_mb": kib["RssAnon"] * 1.024e-3}
