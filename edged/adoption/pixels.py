"""How a model wants its pixels: colour, and `real = (pixel - mean) / std`, from what is known of it.

Law: what follows, with its reason; a question where nothing does.
"""

from __future__ import annotations

from edged.adoption.archive import Kind
from edged.adoption.assumptions import Assumption, Options, Question
from edged.adoption.graph import Graph
from edged.adoption.metadata import Metadata
from edged.core.errors import ModelError
from edged.core.types import Color, Fit, Quantization
from edged.modelstore.manifest import InputTable

Numbers = tuple[float, ...]
Found = tuple[Numbers, Numbers, str, bool]
"""mean, std, the reason, and whether it is known."""

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IMAGENET_RANGE = (-2.118, 2.64)
"""What the mean and standard deviation of ImageNet's pixels make of 0 and 255, over all channels."""
TRAINED: dict[str, Found] = {
    "teachable-machine": ((127.5,), (127.5,), "as Teachable Machine trains: -1 to 1", True),
    "edge-impulse": ((0.0,), (255.0,), "as Edge Impulse trains: 0 to 1", True),
}
OPTION = "--mean, --std"
ASK = Question(
    "pixels",
    "the input is float32, and nothing says what its training made of pixels: -1 to 1, 0 to 1, or 0 to 255 as they are",
    "--mean 127.5 --std 127.5, --mean 0 --std 255, or --mean 0 --std 1",
)


def check_input(graph: Graph, place: str) -> None:
    """Whether the input is a picture.

    Raises:
        ModelError: it is not.
    """
    if len(graph.inputs) != 1:
        raise ModelError(f"{place}: has {len(graph.inputs)} inputs; expected one, which is a picture")
    spec = graph.inputs[0].spec
    shape = spec.shape
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] > 4:
        raise ModelError(
            f"{place}: its input {shape} has the channels first; convert the model again with the channels last"
        )
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        raise ModelError(f"{place}: its input has the shape {shape}; expected one picture, (1, height, width, 1 or 3)")
    if min(shape[1:3]) < 2:
        raise ModelError(f"{place}: its input {shape} has no size of its own; convert the model with a fixed size")
    if spec.dtype not in ("int8", "uint8", "float32"):
        raise ModelError(f"{place}: its input is {spec.dtype}; expected int8, uint8 or float32")


def input_table(
    graph: Graph, metadata: Metadata, kind: Kind, options: Options, *, detects: bool
) -> tuple[InputTable | None, list[Assumption], list[Question]]:
    """The manifest's [input]; None where a question is open."""
    color, colored = _color(graph, metadata, options)
    fit, fitted = _fit(options, kind, detects=detects)
    found = _normalization(graph, metadata, kind, options, 1 if color == "grey" else 3)
    if found is None:
        return None, [colored, fitted], [ASK]
    mean, std, reason, told = found
    value = f"real value = (pixel - {_shown(mean)}) / {_shown(std)}"
    table = InputTable(color=color, fit=fit, mean=mean, std=std)
    return table, [colored, fitted, Assumption("pixels", value, reason, OPTION, told)], []


def _color(graph: Graph, metadata: Metadata, options: Options) -> tuple[Color, Assumption]:
    channels = graph.inputs[0].spec.shape[3]
    color: Color = "grey" if channels == 1 else "rgb"
    if options.color is not None:
        if (options.color == "grey") != (channels == 1):
            raise ModelError(f"--color {options.color} does not go with an input of {channels} channels")
        return options.color, Assumption("color", options.color, "as you say", "--color")
    if channels == 1 or metadata.color == "rgb":
        reason = "the input has one channel" if channels == 1 else "its metadata say so"
        return color, Assumption("color", color, reason, "--color")
    return color, Assumption("color", color, "as nearly every model of three channels", "--color bgr", told=False)


def _fit(options: Options, kind: Kind, *, detects: bool) -> tuple[Fit, Assumption]:
    if options.fit is not None:
        return options.fit, Assumption("fit", options.fit, "as you say", "--fit")
    if detects:
        return "stretch", Assumption("fit", "stretch", "as detectors are trained", "--fit", told=False)
    reason = {
        "teachable-machine": "as Teachable Machine cuts its pictures",
        "edge-impulse": "as Edge Impulse's `fit shortest` does; for `squash`: stretch",
    }.get(kind, "as most classifiers are trained: the sides of a wide picture are not seen")
    return "center-crop", Assumption("fit", "center-crop", reason, "--fit stretch", told=kind == "teachable-machine")


def _normalization(graph: Graph, metadata: Metadata, kind: Kind, options: Options, channels: int) -> Found | None:
    spec = graph.inputs[0].spec
    if spec.dtype != "float32" and spec.quantization is None:
        raise ModelError(f"the {spec.dtype} input has no scale; quantize the model again")
    if options.mean or options.std:
        return _said(options, channels)
    if spec.quantization is not None:
        return _of_quantized(spec.dtype, spec.quantization, channels)
    if len(metadata.mean) in (1, channels) and len(metadata.std) in (1, channels):
        return metadata.mean, metadata.std, "its metadata say so", True
    first = graph.quantized
    if first is not None and first.quantization is not None:
        found = _of_quantized(first.dtype, first.quantization, channels)
        return *found[:2], "the range that the first layer quantizes to", found[3]
    if kind in TRAINED:
        return TRAINED[kind]
    if graph.constant is not None and (wide := _takes_bytes(graph.beginning, graph.constant)) is not None:
        reason = f"the model begins with {graph.beginning} {graph.constant:.4g}, so it takes "
        reason += "pixels from 0 to 255" if wide else "pixels from 0 to 1"
        return (0.0,), (1.0 if wide else 255.0,), reason, False
    return None


def _takes_bytes(operation: str, constant: float) -> bool | None:
    """Whether what a network does to its pixels first is made for 0 to 255, or for 0 to 1; None where neither."""
    size = abs(constant)
    if operation in ("ADD", "SUB"):
        return True if size > 16 else False if 0 < size <= 1 else None
    factor = size if operation == "MUL" else 1 / size if size else 0.0
    return True if 0 < factor < 0.05 else False if 1 <= factor < 16 else None


def _said(options: Options, channels: int) -> Found:
    if not options.mean or not options.std:
        raise ModelError("--mean and --std go together: real value = (pixel - mean) / std")
    for name, values in (("--mean", options.mean), ("--std", options.std)):
        if len(values) not in (1, channels):
            raise ModelError(f"{name}: found {len(values)} numbers; expected 1 or {channels}")
    return options.mean, options.std, "as you say", True


def _of_quantized(dtype: str, quantization: Quantization, channels: int) -> Found:
    """A quantized input takes a byte of the picture as it is, int8 less 128: what that means for real values."""
    lowest = 0 if dtype == "uint8" else -128
    mean, std = float(quantization.zero_point - lowest), 1.0 / quantization.scale
    low, high = (0.0 - mean) / std, (255.0 - mean) / std
    if channels == 3 and abs(low - IMAGENET_RANGE[0]) < 0.15 and abs(high - IMAGENET_RANGE[1]) < 0.15:
        return IMAGENET_MEAN, IMAGENET_STD, "the input's range is that of ImageNet's mean and deviation", False
    usual = any(abs(low - at) < 0.05 * (high - low) for at in (0.0, -(high - low) / 2))
    reason = f"the input takes bytes as they are: {low:.3g} to {high:.3g} by its scale and zero point"
    return (round(mean, 4),), (round(std, 6),), reason, usual


def _shown(values: Numbers) -> str:
    return f"{values[0]:g}" if len(values) == 1 else "[" + ", ".join(f"{one:g}" for one in values) + "]"
