"""Device nodes below a /dev of the test."""

from __future__ import annotations

from pathlib import Path

from edged.edges import nodes


def test_nodes_are_counted_and_their_absence_is_none(tmp_path: Path) -> None:
    assert (nodes.dma_heaps(tmp_path), nodes.media(tmp_path)) == (0, 0)
    for name in ("dma_heap/linux,cma", "dma_heap/system", "media0", "media1", "media12", "mediadrive"):
        path = tmp_path / "dev" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert (nodes.dma_heaps(tmp_path), nodes.media(tmp_path)) == (2, 3)
