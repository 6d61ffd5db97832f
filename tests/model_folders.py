"""Model folders as far as the store looks at them: their bytes are no network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

TFLITE = b"\x1c\x00\x00\x00TFL3" + bytes(range(256)) * 5000
LABELS = b"nothing\ncat\nTiger-Katze\n"
MANIFEST = """
schema = 1
name = "tiny"
version = "1.0.0"
task = "classify"
licence = "Apache-2.0"
source = "made up"
{top}
[files]
{files}
[input]
color = "rgb"
fit = "center-crop"
mean = [127, 127.5, 0]
std = [128.0, 128.0, 1]
[output]
activation = "softmax"
{rest}
"""


def make(
    folder: Path,
    top: str = "",
    rest: str = "",
    change: Callable[[str], str] = lambda text: text,
    named: dict[str, str] | None = None,
    version: str = "1.0.0",
    **files: bytes,
) -> Path:
    """Writes a model folder; `named` are files of the manifest beside the two needed ones, `files` their contents."""
    contents = {"model.tflite": TFLITE, "labels.txt": LABELS} | {
        name.replace("__", "/").replace("_", "."): content for name, content in files.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()} | (named or {})
    lines = "\n".join(f'"{name}" = "{sha256}"' for name, sha256 in hashes.items())
    text = MANIFEST.format(top=top, files=lines, rest=rest).replace('"1.0.0"', f'"{version}"')
    (folder / "model.toml").write_text(change(text), encoding="utf-8")
    return folder
