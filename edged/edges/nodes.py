"""The device nodes that a CSI camera needs beside its own: counted, never opened."""

from __future__ import annotations

from pathlib import Path


def dma_heaps(root: Path) -> int:
    """How many DMA heaps there are, from which libcamera takes its buffers; Debian's kernels for arm64 have none."""
    return _count(root / "dev/dma_heap", "*")


def media(root: Path) -> int:
    """How many media devices there are, by which libcamera finds cameras."""
    return _count(root / "dev", "media[0-9]*")


def _count(folder: Path, pattern: str) -> int:
    try:
        return len(list(folder.glob(pattern)))
    except OSError:
        return 0
