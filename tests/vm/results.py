"""What the tests of the appliance measured: one JSON object in a file, row -> words with numbers.

Law: nothing is written here but by a test that has just measured it and held it to its bar.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

VARIABLE = "EDGED_VM_RESULTS"


def read(file: Path) -> dict[str, str]:
    """The rows of a file; none where there is no file."""
    if not file.exists():
        return {}
    rows: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return rows


def record(row: str, measured: str) -> None:
    """Prints a result, and keeps it where a file for it is named."""
    print(f"{row}: {measured}")
    name = os.environ.get(VARIABLE)
    if name:
        file = Path(name)
        rows = {**read(file), row: measured}
        file.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")
