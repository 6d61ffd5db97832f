"""`edged bench`: the real loop against bare invoke(), in the same process, interleaved."""

from __future__ import annotations

import argparse
import json

from edged.cli.classify import add_model_argument
from edged.cli.run import tell_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model_argument(parser)
    parser.add_argument("--frames", type=_enough, default=800, metavar="N", help="how many, at least 40 (800)")
    parser.add_argument("--threads", type=int, choices=range(1, 65), metavar="N", help="left out: measured again")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else on stdout")


def execute(args: argparse.Namespace) -> int:
    """Measures, then says."""
    from edged import bench

    tell_state()
    figures = bench.measure(args.model, args.frames, args.threads)
    if args.json:
        print(json.dumps(figures))
        return 0
    print(f"{figures['model']} on {figures['runtime']}, {figures['threads']} thread(s)")
    print(f"  frames          {figures['frames']} of {figures['frame_width_px']}x{figures['frame_height_px']} BGR")
    for name in ("invoke_ms", "frame_ms"):
        ms = figures[name]
        print(f"  {name:<15} p50 {ms['p50']:.2f}  p95 {ms['p95']:.2f}  p99 {ms['p99']:.2f}  (wall)")
    print(
        f"  CPU a frame     {figures['cpu_ms_per_frame']:.2f} ms, bare invoke() {figures['cpu_ms_per_invoke']:.2f} ms"
    )
    print(f"  overhead_ratio  {figures['overhead_ratio']:.3f}")
    print(f"  heap growth     {figures['heap_growth_bytes']} bytes")
    print(f"  RSS             {figures['rss_mb']:.1f} MB")
    return 0


def _enough(text: str) -> int:
    if not text.isdecimal() or int(text) < 40:
        raise argparse.ArgumentTypeError(f"expected a whole number from 40 on, found {text!r}")
    return int(text)
