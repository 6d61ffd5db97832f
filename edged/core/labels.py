"""From a raw output tensor to scores: labels, label groups and the activation. Allocates at construction only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edged.core.errors import ModelError
from edged.core.quantization import dequantize_table
from edged.core.types import Activation, InputSpec, ModelSpec, Scores, TensorSpec

LEAST_SCALE, MOST_SCALE = 1e-12, 1e12
"""Of a quantized tensor; a NaN is not in between."""
MAX_EXPONENT_SPAN = 80.0
"""exp() of a float32 neither overflows nor vanishes within this span; wider logits take the slower, shifted way."""
MAX_WEIGHTS = 1 << 18
"""Of sums as one matrix product, 1 MiB: the fewest calls a frame for a few rules, and a square for all labels."""


def fit_model(
    name: str,
    version: str,
    sha256: str,
    labels: tuple[str, ...],
    groups: Mapping[str, tuple[str, ...]],
    input_spec: InputSpec,
    activation: Activation,
    background: int | None,
    input_tensor: TensorSpec,
    output_tensor: TensorSpec,
    *,
    detects: bool = False,
) -> ModelSpec:
    """Puts a manifest and the tensors of its model together.

    Args:
        output_tensor: the scores. One number with two labels is the score of the second.
        detects: there is a score a box and not one a label: how many classes there are no tensor says.

    Raises:
        ModelError: they do not fit; one sentence with what was expected and what was found.
    """
    _check_input(name, input_spec, input_tensor)
    classes = len(labels) if detects else math.prod(output_tensor.shape)
    _check_dtype(name, "output", output_tensor)
    if _is_pair(labels, output_tensor) and not detects:
        if activation == "softmax":
            raise ModelError(f"model {name}: softmax makes 1 of a single output; expected activation none or sigmoid")
    elif classes != len(labels):
        raise ModelError(
            f"model {name}: its output has {classes} classes and labels.txt has {len(labels)} lines; "
            "give the label file that belongs to this model"
        )
    if background is not None and not 0 <= background < len(labels):
        raise ModelError(f"model {name}: background = {background} is no index of its {len(labels)} labels")
    known = frozenset(labels)
    for group, members in groups.items():
        for member in members:
            if member not in known:
                raise ModelError(f"model {name}: group {group} names {member!r}, which labels.txt lacks")
    return ModelSpec(
        name, version, sha256, labels, groups, input_spec, input_tensor, output_tensor, activation, background
    )


def _is_pair(labels: Sequence[str], output: TensorSpec) -> bool:
    """Whether the one output is the score of the second of two labels, and the first has what remains."""
    return len(labels) == 2 and math.prod(output.shape) == 1


def _check_input(name: str, spec: InputSpec, tensor: TensorSpec) -> None:
    channels = 1 if spec.color == "grey" else 3
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or tensor.shape[3] != channels or min(tensor.shape) < 1:
        raise ModelError(
            f"model {name}: expected an input of shape (1, height, width, {channels}) for color = {spec.color!r}, "
            f"found {tensor.shape}"
        )
    _check_dtype(name, "input", tensor)
    for key, values in (("mean", spec.mean), ("std", spec.std)):
        if len(values) not in (1, channels):
            raise ModelError(f"model {name}: {key} has {len(values)} values, expected 1 or {channels}")


def _check_dtype(name: str, which: str, tensor: TensorSpec) -> None:
    if tensor.dtype not in ("int8", "uint8", "float32"):
        raise ModelError(f"model {name}: expected an int8, uint8 or float32 {which}, found {tensor.dtype}")
    if tensor.dtype != "float32" and tensor.quantization is None:
        raise ModelError(f"model {name}: its {tensor.dtype} {which} has no scale; quantize the model again")
    if tensor.quantization is not None and not LEAST_SCALE <= tensor.quantization.scale <= MOST_SCALE:
        raise ModelError(
            f"model {name}: expected a scale of its {which} from {LEAST_SCALE:g} to {MOST_SCALE:g}, found "
            f"{tensor.quantization.scale:g}; quantize the model again"
        )


class Labelled(Protocol):
    """A model, as far as its labels go."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of its outputs."""

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Names for sets of labels."""


def members(spec: Labelled, label: str) -> tuple[int, ...]:
    """Indices of the outputs that a label or a label group stands for; a group wins over a label of its name.

    Raises:
        KeyError: the model has neither a label nor a group of that name; its argument is a sentence with the nearest.
    """
    return members_of_each(spec, (label,))[0]


def members_of_each(spec: Labelled, wanted: Sequence[str]) -> list[tuple[int, ...]]:
    """`members` of several labels, in one pass over those of the model: it may have tens of thousands.

    Raises:
        KeyError: as `members`, of the first that is not known.
    """
    index = {name: number for number, name in enumerate(spec.labels)}
    found = []
    for label in wanted:
        try:
            found.append(tuple(index[name] for name in spec.groups.get(label, (label,))))
        except KeyError:
            raise KeyError(f"model {spec.name} has no label {label!r}; {nearest(spec, label)}") from None
    return found


def nearest(spec: Labelled, label: str) -> str:
    """A clause for people that names the labels and groups most like `label`."""
    known = {name.lower(): name for name in (*spec.labels, *spec.groups)}
    close = [known[found] for found in get_close_matches(label.lower(), known, n=3, cutoff=0.5)]
    close = close or [name for lower, name in known.items() if label.lower() in lower][:3]
    if close:
        return "nearest: " + ", ".join(close)
    return "its groups: " + (", ".join(sorted(spec.groups)) or "none")


class Scorer:
    """Scores of a few wanted labels from one raw output tensor.

    A group's score is the sum of its members with softmax (one of them is there), else the highest; at most 1.

    Args:
        spec: the model.
        wanted: labels and groups, in the order of the result.

    Raises:
        KeyError: a wanted label is unknown, see `members`.
    """

    def __init__(self, spec: ModelSpec, wanted: Iterable[str]) -> None:
        self.wanted = tuple(wanted)
        indices = members_of_each(spec, self.wanted)
        softmax = spec.activation == "softmax"
        self._activate = _softmax(spec.output_tensor) if softmax else _pointwise(spec.activation, spec.output_tensor)
        if _is_pair(spec.labels, spec.output_tensor):
            self._activate = _with_remainder(self._activate)
        self._pool = _sums(indices, len(spec.labels)) if softmax else _highest(indices)
        self._values: Scores = np.empty(len(spec.labels), dtype=np.float32)
        self._scores: Scores = np.empty(len(self.wanted), dtype=np.float32)

    def scores(self, raw: NDArray[Any]) -> Scores:
        """Scores in 0..1 of one output.

        Args:
            raw: (labels,) in the output tensor's dtype; read, not kept.

        Returns:
            (wanted,) float32, borrowed until the next call.

        Raises:
            ModelError: the model gave no number (NaN or infinity).
        """
        self._activate(raw, self._values)
        *pooled, whole = self._pool(self._values)
        # Plain Python on purpose: for a few labels it is cheaper than two more numpy calls on the cold caches that
        # invoke() leaves behind.
        for column, value in enumerate(pooled):
            score = value / whole
            if not math.isfinite(score):
                raise ModelError("the model's output is not a number: it is damaged, or was fed what it cannot bear")
            self._scores[column] = min(max(score, 0.0), 1.0)
        return self._scores


Pool = Callable[[Scores], list[float]]
"""The pooled values of the wanted labels, and last what they must be divided by."""


def _sums(indices: Sequence[tuple[int, ...]], classes: int) -> Pool:
    if (len(indices) + 1) * classes > MAX_WEIGHTS:
        return _reduced(np.add, [*indices, tuple(range(classes))])
    # One product gives every sum at once, that over all classes among them.
    weights = np.zeros((len(indices) + 1, classes), dtype=np.float32)
    for row, some in enumerate(indices):
        weights[row, list(some)] = 1.0
    weights[-1] = 1.0
    sums = np.empty(len(indices) + 1, dtype=np.float32)

    def pool(values: Scores) -> list[float]:
        return weights.dot(values, out=sums).tolist()

    return pool


def _highest(indices: Sequence[tuple[int, ...]]) -> Pool:
    highest = _reduced(np.maximum, indices)
    return lambda values: [*highest(values), 1.0]


def _reduced(operation: np.ufunc, indices: Sequence[tuple[int, ...]]) -> Pool:
    """Takes memory by the members alone, however many classes there are."""
    gather = np.fromiter(chain.from_iterable(indices), dtype=np.intp)
    starts = np.cumsum([0, *map(len, indices[:-1])])
    gathered = np.empty(len(gather), dtype=np.float32)
    reduced = np.empty(len(indices), dtype=np.float32)

    def pool(values: Scores) -> list[float]:
        values.take(gather, out=gathered, mode="clip")
        operation.reduceat(gathered, starts, out=reduced)
        pooled: list[float] = reduced.tolist()
        return pooled

    return pool


Activate = Callable[[NDArray[Any], Scores], None]
"""Writes the activated values of a raw output into its second argument; softmax leaves the division to the pool."""


def _with_remainder(activate: Activate) -> Activate:
    def both(raw: NDArray[Any], out: Scores) -> None:
        activate(raw, out[1:])
        out[0] = 1.0 - out[1]

    return both


def _softmax(tensor: TensorSpec) -> Activate:
    quantized = tensor.quantization is not None
    if tensor.quantization and tensor.quantization.scale * 255.0 <= MAX_EXPONENT_SPAN:
        real = dequantize_table(tensor)
        exponentials = np.exp(real - real.max()).astype(np.float32)

        def from_table(raw: NDArray[Any], out: Scores) -> None:
            exponentials.take(raw.view(np.uint8), out=out, mode="clip")

        return from_table
    real32 = dequantize_table(tensor).astype(np.float32) if quantized else None

    def shifted(raw: NDArray[Any], out: Scores) -> None:
        if real32 is None:
            np.copyto(out, raw)
        else:
            real32.take(raw.view(np.uint8), out=out, mode="clip")
        highest = float(out.max())
        # Infinity less infinity warns on its way to the same NaN.
        out -= highest if math.isfinite(highest) else math.nan
        np.exp(out, out=out)

    return shifted


def _pointwise(activation: Activation, tensor: TensorSpec) -> Activate:
    def activated(real: NDArray[Any]) -> Scores:
        # Past 80 a sigmoid is 0 or 1 to the last bit of a float32; unclipped, exp() would overflow and warn.
        if activation == "sigmoid":
            return np.asarray(1.0 / (1.0 + np.exp(-np.clip(real, -80.0, 80.0))), dtype=np.float32)
        return np.asarray(real, dtype=np.float32)

    if tensor.quantization is None:

        def from_float(raw: NDArray[Any], out: Scores) -> None:
            np.copyto(out, activated(raw))

        return from_float
    table = activated(dequantize_table(tensor))

    def from_table(raw: NDArray[Any], out: Scores) -> None:
        table.take(raw.view(np.uint8), out=out, mode="clip")

    return from_table
