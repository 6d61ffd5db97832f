"""What calls leave behind on Python's heap, numpy's arrays among it."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

WARM_UP, CALLS = 20, 200


def grown(call: Callable[[], object]) -> tuple[int, int]:
    """By how many bytes the heap is larger after many calls, and by how many it was at the most meanwhile."""
    for _ in range(WARM_UP):
        call()
    tracemalloc.start()
    try:
        call()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(CALLS):
            call()
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before, peak - before
