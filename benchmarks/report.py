"""Runs every benchmark and writes docs/performance.md.

    python -m benchmarks.report [--only loop,delay] [--mobilenet FILE] [--mediapipe-python PATH]

One run makes the whole page. With `--only` the result goes to the terminal and the page stays as it is: it never mixes
runs. Each section runs in a process of its own; one that fails is on the page as a failure.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import cameras, delay, endurance, gate, loop, page, peers, process

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
REPORT = ROOT / "models" / "efficientnet-lite0-int8" / "report.json"
HEAP_FRAMES, RSS_FRAMES = 10_000, 100_000
PACKAGES = (
    "ai-edge-litert",
    "tflite-runtime",
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "paho-mqtt",
    "pydantic",
)


def measure_growth(frames: int, trace: bool) -> dict[str, Any]:
    """One run of `benchmarks.endurance`, alone: what a traced one leaves free would hide what the other needs."""
    with endurance.surroundings() as (port, folder):
        return vars(endurance.run(frames, trace, port, folder))


def measure_int8() -> dict[str, Any]:
    """What the model's recipe found on pictures that it was not calibrated on."""
    found: dict[str, Any] = json.loads(REPORT.read_text(encoding="utf-8"))["held_out"]
    return found


def sections(mobilenet: Path | None, mediapipe_python: str | None) -> dict[str, Callable[[], dict[str, Any]]]:
    """Every section, in the order in which they run."""
    return {
        "loop": loop.measure,
        "process": process.measure,
        "delay": delay.measure,
        "heap": functools.partial(measure_growth, HEAP_FRAMES, True),
        "rss": functools.partial(measure_growth, RSS_FRAMES, False),
        "cameras": cameras.measure,
        "gate": gate.measure,
        "peers": functools.partial(peers.measure, mobilenet, mediapipe_python),
        "int8": measure_int8,
    }


def run(section: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A section's result, measured in a fresh process; `error` where it failed."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(section).result()
        except Exception as error:  # noqa: BLE001 - the page says what failed, and the other sections go on
            traceback.print_exc()
            lines = str(error).strip().splitlines()
            return {"error": f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__}


def machine() -> dict[str, str]:
    """What the figures belong to."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    packages = []
    for package in PACKAGES:
        try:
            packages.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": named[0] if named else "unknown",
        "architecture, cores": f"{platform.machine()}, {os.cpu_count()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "packages": ", ".join(packages),
        "load before the run": f"{os.getloadavg()[0]:.2f} (one-minute average)",
    }


def main() -> None:
    """The page, or parts of it on the terminal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help="sections to measure, divided by commas; writes no page")
    parser.add_argument(
        "--mobilenet", type=Path, metavar="FILE", help="for the peers: mobilenet_v2_1.0_224_quant.tflite"
    )
    parser.add_argument("--mediapipe-python", metavar="PATH", help="an interpreter that has mediapipe")
    args = parser.parse_args()
    everything = sections(args.mobilenet and args.mobilenet.resolve(), args.mediapipe_python)
    names = args.only.split(",") if args.only else list(everything)
    if unknown := sorted(set(names) - set(everything)):
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(everything)}")
    told = machine()
    results: dict[str, dict[str, Any]] = {}
    for name in names:
        print(f"bench: {name}", file=sys.stderr)
        results[name] = run(everything[name])
    text = page.write(results, told)
    print(text)
    if not args.only:
        PAGE.write_text(text, encoding="utf-8")
    sys.exit(any("error" in result for result in results.values()))


if __name__ == "__main__":
    main()
