"""`edged cameras`: what can be written behind `source =`, and what each camera can do."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

NOTHING = (
    "no camera found: plug one in (a USB camera appears within seconds, a CSI camera after a restart), "
    "or name a network camera by its rtsp:// address"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--json", action="store_true", help="a JSON list of cameras, nothing else on stdout")


def execute(args: argparse.Namespace) -> int:
    """Lists; a machine without a camera is no failure."""
    from edged import listing

    show(listing.cameras(), args.json)
    return 0


def show(found: Any, as_json: bool) -> None:
    """Prints a `Listing`: cameras on stdout, what could not be asked on stderr."""
    objects = [camera.as_object() for camera in found.cameras]
    if as_json:
        print(json.dumps(objects, ensure_ascii=False, indent=2))
    elif objects:
        print("\n\n".join("\n".join(_block(one)) for one in objects))
    elif not found.notes:
        print(NOTHING)
    for note in found.notes:
        print(f"edged cameras: {note}", file=sys.stderr)


def _block(camera: dict[str, Any]) -> Iterator[str]:
    yield f"{camera['name']} ({camera['driver']})"
    yield f"  source = {json.dumps(camera['source'], ensure_ascii=False)}"  # TOML has the same strings
    for one in camera["formats"]:
        lines = list(_lines(one)) if one["usable"] else ["not used by edged"]
        for number, line in enumerate(lines or ["sizes are not told"]):
            mark = "" if number else one["format"]
            yield textwrap.fill(
                line, 116, initial_indent=f"  {mark:<5} ", subsequent_indent=" " * 10, break_on_hyphens=False
            )


def _lines(one: dict[str, Any]) -> Iterator[str]:
    """The sizes of one format, those with the same highest rate on one line."""
    if span := one["size_range"]:
        (least_w, most_w, _), (least_h, most_h, _) = span["width_px"], span["height_px"]
        yield f"any size from {least_w} x {least_h} to {most_w} x {most_h}"
    by_rate = dict[float | None, list[str]]()
    for size in one["sizes"]:
        highest = max(size["fps"], default=None)
        by_rate.setdefault(highest, []).append(f"{size['width_px']} x {size['height_px']}")
    for highest, sizes in by_rate.items():
        rate = "" if highest is None else f"up to {highest:g} fps: "
        yield rate + ", ".join(sizes)
