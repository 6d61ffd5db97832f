"""The recipe of shapes-int8: draws, trains, converts, quantizes, judges and writes the whole model package.

    python models/build/shapes_model.py --out models/shapes-int8

Needs the packages of `requirements.txt` (torch first) and a few minutes of one core. Everything random comes from SEED
and one thread does the arithmetic, so a second run on the same machine gives the same bytes, file by file; another
processor may round sums differently, and so train a slightly different network of the same quality.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ai_edge_quantizer.calibrator as calibrator
import litert_torch
import numpy as np
import shapes
import shapes_network
import shapes_package
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import quantizer, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils
from numpy.typing import NDArray

SEED = 20261122
TRAINING_PICTURES = 30_000
CALIBRATION_PICTURES = 600
HELD_OUT_PICTURES = 6_000
EPOCHS = 14
MIN_ACCURACY = 0.95

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def main() -> None:
    """Runs the recipe; stops with a sentence when the result is not good enough to ship."""
    parser = argparse.ArgumentParser(description="Trains and writes the model package shapes-int8.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the package, made where it is not there")
    out: Path = parser.parse_args().out
    torch.set_num_threads(1)  # the order of additions, and so every byte, would depend on the number of cores
    torch.manual_seed(SEED)
    training, calibration, held_out, golden = (np.random.default_rng([SEED, use]) for use in range(4))

    pictures, truth = shapes_network.drawn(TRAINING_PICTURES, training)
    network = shapes_network.train(pictures, truth, epochs=EPOCHS, rng=training)
    calibrating, _ = shapes_network.drawn(CALIBRATION_PICTURES, calibration)
    model = quantized(converted(network), calibrating)
    interpreter = interpreter_of(model)

    report = judged(float_logits(network), int8_logits(interpreter), *shapes_network.drawn(HELD_OUT_PICTURES, held_out))
    if report["int8_accuracy"] < MIN_ACCURACY:
        raise SystemExit(f"int8 accuracy is {report['int8_accuracy']}; it must be {MIN_ACCURACY} to be shipped")
    report |= {"seed": SEED, "training_pictures": TRAINING_PICTURES, "calibration_pictures": CALIBRATION_PICTURES}
    shapes_package.write(out, model, report, golden_pictures(int8_logits(interpreter), golden))


def converted(network: shapes_network.ShapesNetwork) -> bytes:
    """The float model as a flatbuffer, input (1, SIDE_PX, SIDE_PX, 3)."""
    sample = (torch.zeros(1, shapes_network.SIDE_PX, shapes_network.SIDE_PX, 3),)
    edge_model = litert_torch.convert(shapes_network.NhwcNetwork(network).eval(), sample)
    return bytes(edge_model.model_content())


def quantized(float_model: bytes, pictures: NDArray[np.uint8]) -> bytes:
    """The static int8 model, ranges from the true minimum and maximum of each activation over `pictures`.

    The quantizer's own calibration keeps a moving average instead, which cuts off the largest logits. The input's range
    is not measured but set to what 8-bit pixels can be, which makes its scale exactly 1/128 and its zero point -1.
    """
    static = recipe.static_wi8_ai8()
    recipes = recipe_manager.RecipeManager()
    recipes.load_quantization_recipe(static)
    ranges = calibrator.Calibrator(float_model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    signature = Interpreter(model_content=float_model).get_signature_list()
    (key,) = signature
    (input_name,) = signature[key]["inputs"]
    samples = [{input_name: real[np.newaxis]} for real in shapes_network.real_values(pictures)]
    ranges.calibrate({key: samples}, recipes)
    found = ranges.get_model_qsvs()
    (tensor,) = (detail["name"] for detail in Interpreter(model_content=float_model).get_input_details())
    darkest, brightest = shapes_network.real_values(np.array([0, 255], np.uint8))
    found[tensor] = {
        "min": np.full_like(found[tensor]["min"], darkest),
        "max": np.full_like(found[tensor]["max"], brightest),
    }
    return renamed(bytes(quantizer.Quantizer(bytearray(float_model), static).quantize(found).quantized_model))


def renamed(model: bytes) -> bytes:
    """The same model with short tensor names: the converter's are a third of so small a file."""
    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    for graph in content.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in ends:
                tensor.name = f"tensor_{index}".encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


def interpreter_of(model: bytes) -> Interpreter:
    """Loads the model as the daemon would and refuses one that is not what the manifest says."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    if (taken["dtype"], given["dtype"]) != (np.int8, np.int8) or taken["quantization"] != (1 / 128, -1):
        raise SystemExit(
            f"input is {taken['dtype']} {taken['quantization']}; it must be int8, scale 1/128, zero point -1"
        )
    steps = interpreter._get_ops_details()  # noqa: SLF001 the only way to see what the delegate took
    delegated = [(list(step["inputs"]), list(step["outputs"])) for step in steps if step["op_name"] == "DELEGATE"]
    if len(delegated) != 1 or taken["index"] not in delegated[0][0] or delegated[0][1] != [given["index"]]:
        raise SystemExit(f"XNNPACK took {delegated}; it must take the whole model, in one piece, to be fast")
    return interpreter


def float_logits(network: shapes_network.ShapesNetwork) -> Logits:
    def logits_of(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        real = np.ascontiguousarray(shapes_network.real_values(pictures).transpose(0, 3, 1, 2))
        with torch.no_grad():
            logits: NDArray[np.float32] = network(torch.from_numpy(real)).numpy()
        return logits

    return logits_of


def int8_logits(interpreter: Interpreter) -> Logits:
    """Logits of the deployed model, dequantized, one picture at a time as on a device."""
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = given["quantization"]

    def logits_of(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits = np.empty((len(pictures), len(shapes.LABELS)), np.float32)
        for row, picture in zip(logits, pictures, strict=True):
            # (pixel - 127) / 128, then / (1/128), then + -1: what is left of both quantizations is one subtraction
            interpreter.set_tensor(taken["index"], (picture.astype(np.int16) - 128).astype(np.int8)[np.newaxis])
            interpreter.invoke()
            row[:] = (interpreter.get_tensor(given["index"])[0].astype(np.float32) - zero_point) * scale
        return logits

    return logits_of


def judged(float_of: Logits, int8_of: Logits, pictures: NDArray[np.uint8], truth: NDArray[np.int64]) -> dict[str, Any]:
    """Both models on pictures that neither training nor calibration saw; standard errors are binomial."""
    float_label = float_of(pictures).argmax(1)
    scores = shapes_package.softmax(int8_of(pictures))
    int8_label, right = scores.argmax(1), scores[np.arange(len(truth)), truth]
    empty = truth == shapes.LABELS.index("background")
    report: dict[str, Any] = {"held_out_pictures": len(truth)}
    shares = {
        "float_accuracy": float_label == truth,
        "int8_accuracy": int8_label == truth,
        "agreement": int8_label == float_label,
        "right_label_above_0.8": right > 0.8,
        "every_shape_below_0.2_on_background": scores[empty, 1:].max(1) < 0.2,
    }
    for name, hits in shares.items():
        share = float(hits.mean())
        report[name] = round(share, 5)
        report[f"{name}_standard_error"] = round(float(np.sqrt(share * (1 - share) / len(hits))), 5)
    report["int8_accuracy_by_label"] = {
        name: round(float((int8_label == truth)[truth == index].mean()), 5) for index, name in enumerate(shapes.LABELS)
    }
    return report


def golden_pictures(int8_of: Logits, rng: np.random.Generator) -> dict[str, shapes_package.Golden]:
    """One clear picture a label: the first whose score is so high that a processor's rounding cannot move it far."""
    golden: dict[str, shapes_package.Golden] = {}
    for index, label in enumerate(shapes.LABELS):
        while label not in golden:
            picture = shapes.draw(label, (shapes_network.SIDE_PX, shapes_network.SIDE_PX), rng)
            scores = shapes_package.softmax(int8_of(picture[np.newaxis, :, :, ::-1]))[0]
            if scores[index] > 0.98:
                golden[label] = (picture, scores)
    return golden


if __name__ == "__main__":
    main()
