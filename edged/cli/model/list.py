"""`edged model list`: what there is, and what is known of it."""

from __future__ import annotations

import argparse
import json

from edged.cli.model.keeper import add_keeper_arguments, keeper

HEAD = ("", "model", "version", "size", "licence", "signed by", "measured here")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_keeper_arguments(parser)
    parser.add_argument("--json", action="store_true", help="a JSON list, nothing else on stdout")


def execute(args: argparse.Namespace) -> int:
    """Lists; a version that cannot be used is listed with the reason."""
    found = [one.as_object() for one in keeper(args).listed()]
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return 0
    lines = [HEAD, *(_cells(one) for one in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    for number, line in enumerate(lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if number and (trouble := found[number - 1]["trouble"]):
            print(f"   {trouble}")
    print("* is the version that the name stands for")
    return 0


def _cells(one: dict[str, object]) -> tuple[str, ...]:
    size, times = one["size_bytes"], one["invoke_ms"]
    measured = ""
    if isinstance(times, dict) and times:
        threads, ms = min(times.items(), key=lambda pair: float(pair[1]))
        measured = f"{float(ms):.1f} ms, {threads} {'thread' if threads == 1 else 'threads'}"
    return (
        "*" if one["active"] else "",
        str(one["name"]),
        str(one["version"] or "?"),
        f"{size / 1e6:.1f} MB" if isinstance(size, int) else "?",
        str(one["licence"] or "?"),
        str(one["signed_by"] or "-"),
        measured or "-",
    )
