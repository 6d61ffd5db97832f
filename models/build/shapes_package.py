"""Writes the folder of shapes-int8: model, labels, golden pictures, report, manifest.

Law: files only; what is in them was decided in `shapes_model.py`. The same content gives the same bytes: no dates.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import shapes
from numpy.typing import NDArray

Golden = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""A BGR picture and the scores of all labels for it."""

GOLDEN_TOLERANCE = 0.02

_TOOLS = ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert", "numpy", "opencv-python-headless")

_MANIFEST = """\
schema = 1
name = "shapes-int8"
version = "1.0.0"
task = "classify"
licence = "Apache-2.0"
source = "drawn and trained by models/build/shapes_model.py"

[files]
{files}

[input]
color = "rgb"
fit = "stretch"
mean = [127.0, 127.0, 127.0]
std = [128.0, 128.0, 128.0]

[output]
activation = "softmax"
background = 0

[groups]
round = ["circle"]
angular = ["square", "triangle"]
pointed = ["triangle", "star"]
"""


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (pictures, labels) of logits of the same shape; each row sums to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return scores


def write(folder: Path, model: bytes, report: dict[str, object], golden: dict[str, Golden]) -> None:
    """Writes the whole package but its licence text, which is kept in models/shapes-int8 and copied from there.

    Raises:
        OSError: a file cannot be read or written.
    """
    licence = (Path(__file__).resolve().parents[1] / "shapes-int8" / "LICENSE").read_bytes()
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    files = {
        "LICENSE": licence,
        "labels.txt": "".join(f"{label}\n" for label in shapes.LABELS).encode(),
        "model.tflite": model,
        "report.json": _json({**report, **_facts(model)}),
        "golden/expected.json": _json(_expected(golden)),
    }
    for label, (picture, _) in golden.items():
        files[f"golden/{label}.png"] = cv2.imencode(".png", picture)[1].tobytes()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = "\n".join(f'"{name}" = "{hashlib.sha256(files[name]).hexdigest()}"' for name in sorted(files))
    (folder / "model.toml").write_text(_MANIFEST.format(files=sums), encoding="utf-8")


def _facts(model: bytes) -> dict[str, object]:
    tools = {name: version(name) for name in _TOOLS}
    return {"model_bytes": len(model), "model_sha256": hashlib.sha256(model).hexdigest(), "tools": tools}


def _expected(golden: dict[str, Golden]) -> dict[str, object]:
    inputs = []
    for label, (_, scores) in golden.items():
        best = np.argsort(-scores, kind="stable")[:5]
        top = [{"label": shapes.LABELS[index], "score": round(float(scores[index]), 4)} for index in best]
        inputs.append({"file": f"{label}.png", "top": top})
    return {"inputs": inputs, "tolerance": GOLDEN_TOLERANCE}


def _json(content: dict[str, object]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
