"""How good the int8 model is against float: measured here, kept in report.json.

Law: every number that the project quotes about the shipped model's accuracy comes from this file, and each carries
its standard error. Labels of pictures are class numbers; real outputs are dequantized before anything is compared.
"""

# The interpreter lists its operations nowhere else.
# ruff: noqa: SLF001

from __future__ import annotations

import collections
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from efficientnet_lite0_converter import plain_interpreter
from efficientnet_lite0_network import CLASSES, FEATURES
from efficientnet_lite0_pictures import normalise

THREADS = 2
BAR_AGREEMENT_PERCENT = 97.0
BAR_LOSS_POINTS = 0.6


@dataclass
class Answers:
    """Real outputs of a model: logits (n, 1000) and embeddings (n, 1280), float32."""

    logits: np.ndarray
    embeddings: np.ndarray


def answer(model: bytes, pixels: np.ndarray) -> Answers:
    """Runs a float or an int8 model over RGB pixels (n, height, width, 3) uint8, with the default delegate."""
    interpreter = Interpreter(model_content=model, num_threads=THREADS)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    exits = interpreter.get_output_details()
    answers = Answers(np.empty((len(pixels), CLASSES), np.float32), np.empty((len(pixels), FEATURES), np.float32))
    for row, picture in enumerate(pixels):
        # Scale 1/128 and zero point -1 turn (pixel - 127) / 128 into pixel - 128: one flipped bit.
        value = (picture ^ 0x80).view(np.int8) if entry["dtype"] == np.int8 else normalise(picture)
        interpreter.set_tensor(entry["index"], value[None])
        interpreter.invoke()
        for target, detail in zip((answers.logits, answers.embeddings), exits, strict=True):
            target[row] = _real(interpreter.get_tensor(detail["index"])[0], detail["quantization"])
    return answers


def _real(raw: np.ndarray, quantization: tuple[float, int]) -> np.ndarray:
    scale, zero_point = quantization
    return (raw.astype(np.float32) - zero_point) * np.float32(scale) if scale else raw


def softmax(logits: np.ndarray) -> np.ndarray:
    """Scores along the last axis, float64."""
    powers: np.ndarray = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    scores: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def compare(exact: Answers, rounded: Answers, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy of both, their agreement, and how far the outputs are apart."""
    hit_exact, hit_rounded = _hits(exact.logits, labels), _hits(rounded.logits, labels)
    same = exact.logits.argmax(1) == rounded.logits.argmax(1)
    paired = hit_rounded[1].astype(float) - hit_exact[1].astype(float)
    noise = exact.logits - rounded.logits
    p, q = softmax(exact.logits), softmax(rounded.logits)
    return {
        "pictures": len(labels),
        "float_top1_percent": _rate(hit_exact[1]),
        "float_top5_percent": _rate(hit_exact[5]),
        "int8_top1_percent": _rate(hit_rounded[1]),
        "int8_top5_percent": _rate(hit_rounded[5]),
        "int8_minus_float_top1_points": _mean(100 * paired),
        "top1_agreement_percent": _rate(same),
        "logits_kl": round(float((p * (np.log(p) - np.log(q))).sum(1).mean()), 5),
        "logits_sqnr_db": _sqnr(exact.logits, noise),
        "embedding_sqnr_db": _sqnr(exact.embeddings, exact.embeddings - rounded.embeddings),
        "embedding_cosine": _mean(_cosine(exact.embeddings, rounded.embeddings), 5),
    }


def verdict(held_out: dict[str, Any]) -> dict[str, Any]:
    """Whether the held-out numbers reach the bar."""
    agreement = held_out["top1_agreement_percent"]["value"]
    loss = -held_out["int8_minus_float_top1_points"]["value"]
    return {
        "agreement_at_least_percent": BAR_AGREEMENT_PERCENT,
        "loss_at_most_points": BAR_LOSS_POINTS,
        "reached": bool(agreement >= BAR_AGREEMENT_PERCENT and loss <= BAR_LOSS_POINTS),
    }


def describe(model: bytes) -> dict[str, Any]:
    """Operations, tensors and delegate partitions of the file.

    Raises:
        ValueError: the delegate does not take the whole model in one piece.
    """
    plain, fast = plain_interpreter(model), Interpreter(model_content=model)
    fast.allocate_tensors()
    delegates = [operation for operation in fast._get_ops_details() if operation["op_name"] == "DELEGATE"]
    exits = [int(detail["index"]) for detail in plain.get_output_details()]
    if len(delegates) != 1 or sorted(map(int, delegates[0]["outputs"])) != sorted(exits):
        raise ValueError(f"expected one XNNPACK partition that gives all outputs, found {len(delegates)}")
    return {
        "size_bytes": len(model),
        "operations": dict(collections.Counter(operation["op_name"] for operation in plain._get_ops_details())),
        "xnnpack_partitions": len(delegates),
        "input": _tensor(plain.get_input_details()[0]),
        "outputs": [_tensor(detail) for detail in plain.get_output_details()],
    }


def _tensor(detail: dict[str, Any]) -> dict[str, Any]:
    scale, zero_point = detail["quantization"]
    shape = [int(side) for side in detail["shape"]]
    return {"shape": shape, "dtype": np.dtype(detail["dtype"]).name, "scale": float(scale), "zero_point": zero_point}


def _hits(logits: np.ndarray, labels: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    found = order == labels[:, None]
    return {1: found[:, 0], 5: found.any(1)}


def _rate(hits: np.ndarray) -> dict[str, float]:
    share = float(hits.mean())
    return {"value": round(100 * share, 2), "se": round(100 * math.sqrt(share * (1 - share) / len(hits)), 2)}


def _mean(values: np.ndarray, digits: int = 2) -> dict[str, float]:
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return {"value": round(float(values.mean()), digits), "se": round(error, digits)}


def _sqnr(signal: np.ndarray, noise: np.ndarray) -> float:
    power, error = (float((values.astype(np.float64) ** 2).sum()) for values in (signal, noise))
    return round(10 * math.log10(power / error), 2)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosines: np.ndarray = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return cosines


INTERPOLATIONS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}
