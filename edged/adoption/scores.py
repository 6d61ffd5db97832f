"""How a model gives its scores: which output, what its numbers are, what a detector's four outputs hold.

Law: what follows, with its reason.
"""

from __future__ import annotations

import math

from edged.adoption.assumptions import Assumption, Options
from edged.adoption.graph import Graph
from edged.adoption.metadata import Metadata
from edged.core.detections import Detections
from edged.core.errors import ModelError
from edged.core.types import Activation, TensorSpec

WORDS = {
    "boxes": ("box", "location"),
    "classes": ("class", "categor"),
    "scores": ("score",),
    "count": ("count", "num"),
}
SIGNATURE = {"boxes": "output_3", "classes": "output_2", "scores": "output_1", "count": "output_0"}
"""As TensorFlow's exporters of detectors name them (pycoral's `detect.get_objects` reads the same)."""


def is_row(spec: TensorSpec) -> bool:
    """Whether an output is one row of numbers, as a classifier's is."""
    return bool(spec.shape) and math.prod(spec.shape) == spec.shape[-1]


def detections(graph: Graph, metadata: Metadata, options: Options) -> tuple[Detections, Assumption] | None:
    """Which output of a detector holds what; None where the model is none."""
    specs = [one.spec for one in graph.outputs]
    if options.outputs is not None:
        return Detections(*options.outputs), _told(options.outputs, "as you say")
    if not _looks_like_detector(specs):
        return None
    if graph.detections is not None:
        return Detections(*graph.detections), _told(graph.detections, "the order of TFLite_Detection_PostProcess")
    names = {name: SIGNATURE[name] for name in WORDS}
    if set(names.values()) <= set(graph.signature):
        found = tuple(graph.signature[names[name]] for name in WORDS)
        if _fits(specs, found):
            return Detections(*found), _told(found, "the model's signature")
    for said, reason in (
        (list(metadata.outputs), "its metadata"),
        ([one.name for one in graph.outputs], "the outputs' names"),
        (_by_signature(graph, len(specs)), "the names in its signature"),
    ):
        named = _by_words(said)
        if named is not None and _fits(specs, named):
            return Detections(*named), _told(named, reason)
    # pycoral's rule: the count comes last after boxes, classes, scores, or third after scores, boxes.
    count = next(index for index, spec in enumerate(specs) if math.prod(spec.shape) == 1)
    guessed = (0, 1, 2, 3) if count == 3 else (1, 3, 0, 2)
    if not _fits(specs, guessed):
        raise ModelError(
            "it has four outputs like a detector, in an order that is not known; say which is which: "
            "--outputs BOXES,CLASSES,SCORES,COUNT, as numbers from 0"
        )
    return Detections(*guessed), _told(guessed, "the usual order", told=False)


def _told(found: tuple[int, ...], reason: str, *, told: bool = True) -> Assumption:
    value = ", ".join(f"{name} {index}" for name, index in zip(WORDS, found, strict=True))
    return Assumption("outputs", value, reason, "--outputs", told)


def _looks_like_detector(specs: list[TensorSpec]) -> bool:
    if len(specs) != 4 or any(spec.dtype != "float32" for spec in specs):
        return False
    boxes = [spec.shape for spec in specs if len(spec.shape) == 3 and spec.shape[2] == 4]
    counts = [spec for spec in specs if math.prod(spec.shape) == 1]
    rows = [spec for spec in specs if len(spec.shape) == 2 and boxes and spec.shape[1] == boxes[0][1]]
    return len(boxes) == 1 and bool(counts) and len(rows) >= 2


def _fits(specs: list[TensorSpec], found: tuple[int, ...]) -> bool:
    boxes, classes, scores, count = (specs[index].shape for index in found)
    return (
        sorted(found) == [0, 1, 2, 3]
        and boxes[-1] == 4
        and math.prod(count) == 1
        and math.prod(classes) == math.prod(scores) == math.prod(boxes) // 4
    )


def _by_signature(graph: Graph, count: int) -> list[str]:
    names = [""] * count
    for name, index in graph.signature.items():
        names[index] = name
    return names


def _by_words(said: list[str]) -> tuple[int, ...] | None:
    found = []
    for words in WORDS.values():
        fitting = [index for index, name in enumerate(said) if any(word in name.lower() for word in words)]
        if words == WORDS["scores"] and len(fitting) > 1:  # "detection_multiclass_scores"
            return None
        found += fitting[:1]
    return tuple(found) if len(set(found)) == len(WORDS) else None


def scores_output(graph: Graph, labels: int | None, place: str) -> int:
    """Which output of a classifier holds the scores: the one with as many as there are labels, else the first.

    Raises:
        ModelError: none is one row of numbers.
    """
    rows = [index for index, one in enumerate(graph.outputs) if is_row(one.spec)]
    if not rows:
        shapes = ", ".join(str(one.spec.shape) for one in graph.outputs)
        raise ModelError(
            f"{place}: its outputs have the shapes {shapes}; expected one score a class, or the boxes, classes, scores "
            "and count of a detector with its post-processing in the model"
        )
    for off in (0, 1, -1):
        for index in rows:
            if labels is not None and math.prod(graph.outputs[index].spec.shape) == labels + off:
                return index
    return rows[0]


def activation(graph: Graph, output: int, options: Options) -> tuple[Activation, Assumption]:
    """How its numbers become scores in 0..1."""
    spec, ending = graph.outputs[output].spec, graph.endings[output]
    single = math.prod(spec.shape) == 1
    if options.activation is not None:
        found, reason, told = options.activation, "as you say", True
    elif ending in ("SOFTMAX", "LOGISTIC"):
        word = "softmax" if ending == "SOFTMAX" else "sigmoid"
        found, reason, told = "none", f"the model ends with a {word}: its outputs are scores", True
    elif ending == "LOG_SOFTMAX":
        found, reason, told = "softmax", "the model ends with the logarithm of a softmax", True
    elif _is_0_to_1(spec):
        found, reason, told = "none", "the outputs' range is 0 to 1 by scale and zero point: they are scores", True
    elif single:
        found, reason, told = "sigmoid", "the one output has no sigmoid in the model", False
    else:
        found, reason, told = "softmax", "the model ends without one, and one class is taken to be right", False
    if single and found == "softmax":
        raise ModelError("--activation softmax makes 1 of every single output; expected none or sigmoid")
    return found, Assumption("activation", found, reason, "--activation", told)


def _is_0_to_1(spec: TensorSpec) -> bool:
    if spec.quantization is None:
        return False
    lowest = 0 if spec.dtype == "uint8" else -128
    return spec.quantization.zero_point == lowest and 0.98 < spec.quantization.scale * 255 < 1.02
