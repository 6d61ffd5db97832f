"""The whole loop over a bare invoke(): CPU time of all threads, block by block, and where it goes.

    python -m benchmarks.loop [--blocks 200]

Pictures of 640x480 pixels (BGR) come from memory, the model is the one that ships, with one thread. A block of turns of
the real loop and a block of bare invokes take turns in one process; the figure is the median of the blocks' ratios.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from benchmarks.figures import quartiles, spread
from edged.bench import Workbench

MODEL = "efficientnet-lite0-int8"
BLOCKS = 200
PART_FRAMES = 400
WAYS = {"without": False, "with": True}


def measure(blocks: int = BLOCKS) -> dict[str, Any]:
    """The ratios without and with the capture thread, and CPU milliseconds a frame of the parts."""
    bench = Workbench(MODEL, 1)
    found: dict[str, Any] = {"blocks": blocks}
    for way, capture_thread in WAYS.items():
        run = bench.blocks(blocks, capture_thread)
        found[way] = {
            "ratio": quartiles(run.ratios),
            "frame_cpu_ms": statistics.median(run.frame_cpu_ms),
            "invoke_cpu_ms": statistics.median(run.invoke_cpu_ms),
        }
    found["parts"] = {**bench.parts(PART_FRAMES), "capture": statistics.median(run.capture_cpu_ms)}
    return found


def main() -> None:
    """Prints what `measure` finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    found = measure(parser.parse_args().blocks)
    for way in WAYS:
        one = found[way]
        print(
            f"{way} the capture thread: {spread(one['ratio'])} times a bare invoke, {found['blocks']} blocks; "
            f"{one['frame_cpu_ms']:.3f} ms a frame, {one['invoke_cpu_ms']:.3f} ms an invoke"
        )
    for part, cpu_ms in found["parts"].items():
        print(f"{part:<8} {cpu_ms:8.3f} ms")


if __name__ == "__main__":
    main()
