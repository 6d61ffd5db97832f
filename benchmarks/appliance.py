"""The table of docs/reliability.md about the appliance, from what `scripts/test-vm` measured last.

    scripts/test-vm --long                 measures, and holds each row to its bar
    python -m benchmarks.appliance         writes the table

A row that was not measured says so; numbers are never carried over from an earlier table or another image.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from benchmarks.page import table
from tests.vm import results

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- appliance -->", "<!-- end of appliance -->"
HEAD = ("what", "bar", "measured", "test")

# What, its bar, the results that speak of it, the file of its tests.
ROWS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "power to first event",
        "READY without a failed unit or an ordering cycle, nothing masked; events of a moving scene arrive",
        ("power to first event",),
        "boot",
    ),
    (
        "camera unplugged",
        "`camera_lost` within 5 s, no busy loop while it is gone, then running",
        ("camera: unplugged",),
        "camera",
    ),
    ("stalled camera", "the same", ("camera: stall",), "camera"),
    (
        "stream that breaks, or is refused when it is opened again",
        "the same",
        ("camera: fatal streaming error", "camera: disconnect", "camera: refused at the next opening"),
        "camera",
    ),
    (
        "power cut: 20 kills, 200 crashes replayed from recordings, 40 of a first start, 3 starts afterwards",
        "e2fsck repairs nothing, integrity ok, `seq` without a hole, every event seen is stored, service up again",
        ("power cut: replayed", "power cut: first start", "power cut: QEMU killed", "power cut: started again"),
        "power",
    ),
    ("moving and still scene", "events of the moving one, none of the still one", ("camera: scenes",), "camera"),
    (
        "inference made to hang",
        "the watchdog restarts it, the reason is in `D/info`",
        ("inference made to hang",),
        "faults",
    ),
    (
        "network thread made to die",
        "restarted, the reason is in `D/info`",
        ("network thread made to die, again and again",),
        "faults",
    ),
    (
        "anonymous memory grown past the limit",
        "restarted, the reason is in `D/info`",
        ("anonymous memory grown past the limit",),
        "faults",
    ),
    (
        "connection outside the allow-list",
        "UDP refused, TCP never completes, no packet in a capture of the network",
        ("connection outside the allow-list",),
        "sandbox",
    ),
    ("writes outside the state and runtime folders", "refused", ("writes elsewhere",), "sandbox"),
    ("executable memory, programs of one's own", "refused", ("code of one's own",), "sandbox"),
    ("ptrace, keys, devices, the clock", "refused", ("ptrace, keys, devices",), "sandbox"),
    (
        "a model that was never loaded here",
        "tried in a process of its own, a damaged one refused with one sentence",
        ("model never loaded",),
        "sandbox",
    ),
    (
        "bad `edged.toml` on the FAT partition",
        "the board boots, `edged-error.txt` says which line",
        ("bad `edged.toml` on the FAT partition",),
        "boot",
    ),
    ("writes to the card, an event a minute", "at most 20 MB a day", ("writes in steady state",), "disk"),
    (
        "clock stepped by a year, forwards and back",
        "no false stall, no false event, times marked",
        ("clock stepped by a year", "clock stepped while events come"),
        "clock",
    ),
    (
        "idle memory of the whole system, 416 MB",
        "it fits, with 64 MiB to spare",
        ("idle memory in a machine of 416 MB",),
        "boot",
    ),
    (
        "full card, read-only card",
        "told over MQTT and once in the journal; events go on",
        ("full card", "read-only card"),
        "disk",
    ),
    (
        "upgrade of the package",
        "what runs is started anew, with its events; what was switched off stays off",
        ("upgrade",),
        "package",
    ),
    ("missing broker", "each trouble told once in the journal, then events again", ("missing broker",), "input"),
    (
        "two instances on one camera",
        "the second tells it, the first goes on",
        ("two instances on one camera",),
        "input",
    ),
    (
        "password file with wrong permissions",
        "told in the journal",
        ("password file with mode 644", "password file with mode 600"),
        "input",
    ),
    (
        "all of that at once, and `edged doctor`",
        "each has its line, with what to do",
        ("`edged doctor` with all of this wrong",),
        "doctor",
    ),
)


def rows(measured: dict[str, str]) -> list[tuple[str, ...]]:
    """The cells of the table."""
    cells = []
    for what, bar, names, file in ROWS:
        found = [
            f"{name.split(': ')[-1]}: {measured[name]}" if len(names) > 1 else measured[name]
            for name in names
            if name in measured
        ]
        text = "; ".join(found).replace("|", "\\|") or "**not measured**"
        cells.append((what, bar, text, f"`tests/vm/test_appliance_{file}.py`"))
    return cells


def newest(folder: Path) -> dict[str, str]:
    """What was measured of the image that was measured last: the long form of a row, where there is one."""
    files = sorted(folder.glob("vm-results-*.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        return {}
    short = files[-1].with_name(files[-1].name.replace("-long", ""))
    return results.read(short) | results.read(short.with_name(f"{short.stem}-long.json"))


def main() -> None:
    """Writes the table into the page, between its marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("folder", nargs="?", type=Path, default=cache / "edged")
    folder = parser.parse_args().folder
    measured = newest(folder)
    if not measured:
        sys.exit(f"expected results of scripts/test-vm in {folder}, found none: run it first")
    unknown = set(measured) - {name for _, _, names, _ in ROWS for name in names}
    for name in sorted(unknown):
        print(f"not on the page: {name}: {measured[name]}")
    text = PAGE.read_text(encoding="utf-8")
    written = f"{BEGIN}\n\n{table(HEAD, rows(measured))}\n{END}"
    PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: written, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
