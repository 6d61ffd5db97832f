"""From layers to TFLite files: the only door to litert-torch and ai-edge-quantizer.

Law: tensors in, bytes of a model out. The quantizer is given ranges and biases that were decided elsewhere; what it
decides by itself (weights per channel, symmetric, max|w| / 127; int32 biases) is checked by the report.
"""

# The interpreter lists its operations nowhere else.
# ruff: noqa: SLF001

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_quantizer import quantizer, recipe
from efficientnet_lite0_network import INPUT_MEAN, INPUT_SIZE_PX, INPUT_STD, Layer, Network
from efficientnet_lite0_reference import Range, activation_names
from torch import Tensor

# All 256 pixel values, exactly: scale 1/128 and zero point -1, so that q = pixel - 128.
INPUT_RANGE = Range((0 - INPUT_MEAN) / INPUT_STD, (255 - INPUT_MEAN) / INPUT_STD)


def convert_float(layers: list[Layer], biases: list[Tensor] | None = None) -> bytes:
    """The float32 TFLite file of the network, with other biases if they are given."""
    network = Network(layers).eval()
    if biases is not None:
        for parameter, bias in zip(network.biases, biases, strict=True):
            parameter.data = bias.clone()
    sample = torch.zeros(1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "float.tflite"
        litert_torch.convert(network, (sample,)).export(str(path))
        return path.read_bytes()


def quantize(float_model: bytes, layers: list[Layer], ranges: list[Range]) -> bytes:
    """The int8 TFLite file, int8 at its inputs and outputs too.

    Raises:
        ValueError: the file's operations are not those of the network, in its order.
    """
    names = activation_tensors(float_model)
    expected = activation_names(layers)
    if len(names) != len(expected) + 1:
        raise ValueError(f"expected {len(expected)} operations in the float model, found {len(names) - 1}")
    tool = quantizer.Quantizer(float_model, recipe.static_wi8_ai8())
    signature, sample = _sample_input(float_model)
    with contextlib.redirect_stdout(io.StringIO()):
        # One black picture fills in every entry that the tool wants to find; then every activation gets its true range.
        calibration = tool.calibrate({signature: [sample]}, num_threads=2)
        for name, bounds in zip(names, [INPUT_RANGE, *ranges], strict=True):
            calibration[name] = _entry(calibration[name], bounds)
        result = tool.quantize(calibration, enable_progress_report=False)
    return bytes(result.quantized_model)


def quantize_plainly(float_model: bytes, pictures: np.ndarray) -> bytes:
    """What the quantizer makes without help, for comparison. Pictures: (n, height, width, 3), normalised."""
    tool = quantizer.Quantizer(float_model, recipe.static_wi8_ai8())
    signature, sample = _sample_input(float_model)
    with contextlib.redirect_stdout(io.StringIO()):
        data = [{next(iter(sample)): picture[None]} for picture in pictures]
        result = tool.quantize(tool.calibrate({signature: data}, num_threads=2), enable_progress_report=False)
    return bytes(result.quantized_model)


def activation_tensors(model: bytes) -> list[str]:
    """Names of the input tensor and of each operation's output, in the order of execution."""
    plain = plain_interpreter(model)
    by_index = {detail["index"]: detail["name"] for detail in plain.get_tensor_details()}
    outputs = [by_index[operation["outputs"][0]] for operation in plain._get_ops_details()]
    return [plain.get_input_details()[0]["name"], *outputs]


def plain_interpreter(model: bytes) -> Interpreter:
    """An interpreter without a delegate: it shows the file's own operations."""
    return Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )


def _sample_input(model: bytes) -> tuple[str, dict[str, np.ndarray]]:
    signatures = plain_interpreter(model).get_signature_list()
    key = next(iter(signatures))
    black = np.full((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), INPUT_RANGE.low, np.float32)
    return key, {signatures[key]["inputs"][0]: black}


def _entry(old: dict[str, np.ndarray], bounds: Range) -> dict[str, np.ndarray]:
    return {
        "min": np.full_like(old["min"], bounds.low, dtype=np.float32),
        "max": np.full_like(old["max"], bounds.high, dtype=np.float32),
    }
