"""Versions of the tiny model: alike in what they see, and not in their bytes, so that nobody takes one for another."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edged.modelstore import bundled, install

NAME = "shapes-int8"
LITE0 = "efficientnet-lite0-int8"


def make(
    folder: Path,
    version: str,
    *,
    like: str = NAME,
    golden: Callable[[dict[str, Any]], None] = lambda told: None,
    text: Callable[[str], str] = lambda text: text,
    labels: Callable[[str], str] = lambda text: text,
    pad: bool = True,
) -> Path:
    """Writes the folder of another version of the tiny model.

    Args:
        like: the model that ships whose files these are.
        golden: may alter what its golden pictures promise.
        text, labels: may alter the manifest and labels.txt.
        pad: whether its bytes differ from those of the one that ships; what follows a flatbuffer is not read.
    """
    shutil.copytree(bundled() / like, folder)
    with (folder / "model.tflite").open("ab") as file:
        file.write(f"version {version}".encode() if pad else b"")
    names = folder / "labels.txt"
    names.write_text(labels(names.read_text(encoding="utf-8")), encoding="utf-8")
    expected = folder / "golden" / "expected.json"
    if expected.exists():
        told = json.loads(expected.read_text())
        golden(told)
        expected.write_text(json.dumps(told))
    lines = (folder / "model.toml").read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        name = line.partition(" = ")[0].strip('"')
        if line.startswith('"') and (folder / name).is_file():
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            lines[index] = f'"{name}" = "{digest}"'
        elif line.startswith("version = "):
            lines[index] = f'version = "{version}"'
        elif line.startswith("name = "):
            lines[index] = f'name = "{NAME}"'
    (folder / "model.toml").write_text(text("\n".join(lines) + "\n"), encoding="utf-8")
    return folder


def put(state: Path, folder: Path, version: str, **changes: Any) -> Path:
    """The same, installed into the store of a state folder without having been tried.

    Args:
        folder: where to make it.
    """
    return install(make(folder / version, version, **changes), state / "models")
