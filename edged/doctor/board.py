"""The board: its figures, as the kernel tells them now."""

from __future__ import annotations

from collections.abc import Iterator

from edged.core import board_findings as findings
from edged.core.findings import Finding
from edged.doctor.subject import Subject
from edged.edges import board as edge
from edged.edges import clock, nodes


def time(subject: Subject) -> Finding:
    """The clock."""
    now = subject.clock.label(subject.clock.monotonic())
    return findings.clock(now.clock == "synced", clock.setter(subject.root), now.utc_s)


def figures(subject: Subject) -> Iterator[Finding]:
    """Power, temperature and memory."""
    root, unit = subject.root, subject.unit
    yield findings.power(edge.undervoltage(root), edge.throttled(root))
    yield findings.temperature(edge.soc_temp_c(root))
    limit = unit.memory_max_bytes if unit is not None and unit.is_installed else None
    yield findings.memory(
        edge.total_mb(root), edge.available_mb(root), edge.memory_cgroup(root), None if limit is None else limit / 1e6
    )


def csi(subject: Subject) -> Finding:
    """What a CSI camera needs of the kernel."""
    is_wanted = subject.config is not None and subject.config.camera.scheme == "picamera2"
    return findings.csi(nodes.dma_heaps(subject.root), nodes.media(subject.root), is_wanted)
