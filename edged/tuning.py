"""How many threads a model gets on this board: measured once and kept. Part of the composition root."""

from __future__ import annotations

import logging
import math

from edged.core.threads import fewest_threads
from edged.edges import board
from edged.edges.state_folder import StateFolder
from edged.edges.tflite import RUNTIME, Interpreter, median_invoke_ms
from edged.modelstore import Package

TUNING_INVOKES = 5

log = logging.getLogger("edged")


def choose_threads(
    package: Package,
    single: Interpreter,
    fps: float,
    folder: StateFolder,
    again: bool = False,
    is_quiet: bool = True,
) -> int:
    """The fewest threads that reach `fps` with this model, runtime and board; measured once and kept.

    Args:
        single: the model with one thread, for the first measurement.
        folder: the state root; what is measured does not depend on the device.
        again: forget what was measured before.
        is_quiet: nothing else of this process runs; what is measured otherwise is not kept.
    """
    key = times_key(package.sha256)
    kept = folder.read("threads.json")
    known = {} if again else times_ms(kept.get(key))

    def measure(threads: int) -> float:
        interpreter = single if threads == 1 else Interpreter(package.model_path, threads)
        return median_invoke_ms(interpreter, TUNING_INVOKES)

    threads, measured_ms = fewest_threads(1000.0 / fps, board.cores(), known, measure)
    if measured_ms != known and is_quiet:
        folder.write("threads.json", {**kept, key: {str(count): round(ms, 3) for count, ms in measured_ms.items()}})
        log.info(
            "threads = %d: %s ms an invoke by threads", threads, {n: round(ms, 2) for n, ms in measured_ms.items()}
        )
    return threads


def times_key(sha256: str) -> str:
    """Under what the times of a model are kept: they hold for this runtime and this board."""
    return f"{sha256[:16]} {RUNTIME} {board.model_name()}"


def times_ms(kept: object) -> dict[int, float]:
    """What the file says of a model, by threads; an entry that makes no sense is measured again."""
    entries = kept.items() if isinstance(kept, dict) else ()
    return {
        int(threads): float(ms)
        for threads, ms in entries
        if str(threads).isdecimal() and isinstance(ms, int | float) and 0 < ms < math.inf
    }
