"""What int8 does to the network, computed in torch: activation ranges, rounding, and the bias correction.

Law: arithmetic only. Nothing here knows of files, of TFLite or of labels. The method is layer-by-layer bias
correction: the float network and the partly quantized one run side by side over the same pictures, and after each
layer the mean difference of its sums, per channel, goes into its bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from efficientnet_lite0_network import Layer
from torch import Tensor

BATCH = 16
# No int32 bias may come near its end: sums of products (under 2**26 here) are added to it.
BIAS_LIMIT = 2.0**28
# A sum far outside ReLU6's window is clipped the same way in both networks; counting it would correct what no later
# layer sees. The half on both sides keeps the positions that rounding can push across the edge.
WINDOW = (-0.5, 6.5)


class Range(NamedTuple):
    """Smallest and largest real value of an activation over the calibration pictures."""

    low: float
    high: float


@dataclass
class Walk:
    """One pass of a network over a list of batches, a layer at a time; skips are kept until they are added."""

    x: list[Tensor]
    outputs: dict[int, list[Tensor]]


def activation_names(layers: list[Layer]) -> list[str]:
    """Names of all activations after the input, in the order of the operations of the TFLite file."""
    names: list[str] = []
    for layer in layers[:-1]:
        names.append(layer.name)
        if layer.skip_from is not None:
            names.append(f"{layer.name}.sum")
    return [*names, "embedding", "logits"]


def observe(layers: list[Layer], pictures: Tensor) -> Tensor:
    """Minimum and maximum of every activation for every picture: (picture, activation, 2), float network.

    Kept per picture, so that the ranges of any subset of the pictures follow without another pass.
    """
    with torch.no_grad():
        return torch.cat([_observe_batch(layers, batch) for batch in torch.split(pictures, BATCH)])


def ranges_over(observed: Tensor) -> list[Range]:
    """True minimum and maximum over the given pictures; zero is always inside, as int8 padding needs it."""
    lows = observed[:, :, 0].amin(0).clamp(max=0.0)
    highs = observed[:, :, 1].amax(0).clamp(min=0.0)
    return [Range(float(low), float(high)) for low, high in zip(lows, highs, strict=True)]


def _observe_batch(layers: list[Layer], x: Tensor) -> Tensor:
    seen: list[Tensor] = []
    outputs: list[Tensor] = []
    for layer in layers[:-1]:
        x = layer.sums(x)
        x = x.clamp_(0, 6) if layer.relu6 else x
        seen.append(_extremes(x))
        if layer.skip_from is not None:
            x = x + outputs[layer.skip_from]
            seen.append(_extremes(x))
        outputs.append(x)
    embedding = x.mean((2, 3), keepdim=True)
    logits = layers[-1].sums(embedding)
    seen += [_extremes(embedding), _extremes(logits)]
    return torch.stack(seen, dim=1)


def _extremes(x: Tensor) -> Tensor:
    return torch.stack([x.amin((1, 2, 3)), x.amax((1, 2, 3))], dim=1)


def round_weight(weight: Tensor) -> Tensor:
    """Weights as int8 holds them: symmetric, a scale for each output channel, max|w| / 127."""
    scale = weight.abs().amax((1, 2, 3), keepdim=True) / 127
    return torch.where(scale > 0, (weight / scale).round() * scale, weight)


def round_activation(x: Tensor, bounds: Range) -> Tensor:
    """Activations as int8 holds them: a scale and a zero point for the tensor."""
    scale = (bounds.high - bounds.low) / 255
    zero_point = round(-128 - bounds.low / scale)
    return (x / scale).round_().clamp_(-128 - zero_point, 127 - zero_point).mul_(scale)


def widen_dead_channels(layers: list[Layer], ranges: list[Range], input_range: Range) -> tuple[list[Layer], int]:
    """Layers whose biases fit into int32, and the number of channels that were touched.

    A bias is stored in steps of input scale x weight scale. This network has channels whose weights are (nearly) zero
    and whose bias is not: their step is so small that the bias leaves int32, and what comes out of the cast is another
    number on another processor. The largest weight of such a channel is raised until the bias fits; that changes the
    channel's output by at most 127 x 255 / BIAS_LIMIT of its bias, far below one int8 step.
    """
    bounds = dict(zip(activation_names(layers), ranges, strict=True))
    entry, widened, touched = input_range, [], 0
    for index, layer in enumerate(layers):
        entry = bounds["embedding"] if index == len(layers) - 1 else entry
        step = (entry.high - entry.low) / 255
        floor = layer.bias.abs() / (step * BIAS_LIMIT) * 127
        flat = layer.weight.flatten(1).clone()
        largest = flat.abs().argmax(1, keepdim=True)
        old = flat.gather(1, largest)
        dead = old.abs() < floor[:, None]
        raised = torch.where(old < 0, -floor[:, None], floor[:, None])
        flat.scatter_(1, largest, torch.where(dead, raised, old))
        weight = flat.view_as(layer.weight).contiguous(memory_format=torch.channels_last)
        widened.append(replace(layer, weight=weight))
        touched += int(dead.sum())
        entry = bounds.get(f"{layer.name}.sum") or bounds.get(layer.name, entry)
    return widened, touched


def correct_biases(layers: list[Layer], ranges: list[Range], pictures: Tensor) -> list[Tensor]:
    """New biases for all layers, so that each layer's mean output in int8 is what it was in float.

    Args:
        layers: the float network; not changed.
        ranges: of every activation, in the order of `activation_names`.
        pictures: (n, 3, height, width), normalised.
    """
    bounds = dict(zip(activation_names(layers), ranges, strict=True))
    exact = Walk(list(torch.split(pictures, BATCH)), {})
    # The input needs no rounding: normalised pixels are int8 values exactly.
    rounded = Walk(list(torch.split(pictures, BATCH)), {})
    biases: list[Tensor] = []
    with torch.no_grad():
        for index, layer in enumerate(layers[:-1]):
            biases.append(_correct_layer(layer, index, exact, rounded, bounds))
            _forget_unneeded(layers, index, exact, rounded)
        exact.x = [x.mean((2, 3), keepdim=True) for x in exact.x]
        rounded.x = [round_activation(x.mean((2, 3), keepdim=True), bounds["embedding"]) for x in rounded.x]
        last = layers[-1]
        weight = round_weight(last.weight)
        difference = torch.cat([last.sums(a) - last.sums(b, weight) for a, b in zip(exact.x, rounded.x, strict=True)])
        biases.append(last.bias + difference.mean((0, 2, 3)))
    return biases


def _correct_layer(layer: Layer, index: int, exact: Walk, rounded: Walk, bounds: dict[str, Range]) -> Tensor:
    """Moves both walks one layer on; returns the layer's new bias."""
    weight = round_weight(layer.weight)
    wanted = [layer.sums(x) for x in exact.x]
    got = [layer.sums(x, weight) for x in rounded.x]
    missing = torch.zeros(len(layer.bias), dtype=torch.float64)
    count = torch.zeros_like(missing)
    for number, (y, z) in enumerate(zip(wanted, got, strict=True)):
        difference = y - z
        if layer.skip_from is not None:
            # The sum is what later layers see, so the projection also makes up for the error that the skip carries.
            difference += exact.outputs[layer.skip_from][number] - rounded.outputs[layer.skip_from][number]
        inside = (y > WINDOW[0]) & (y < WINDOW[1]) if layer.relu6 else torch.ones_like(y, dtype=torch.bool)
        missing += (difference * inside).sum((0, 2, 3), dtype=torch.float64)
        count += inside.sum((0, 2, 3))
    correction = (missing / count.clamp(min=1)).float()
    shifted = [z + correction[:, None, None] for z in got]
    exact.x = _finish(layer, wanted, exact)
    rounded.x = _finish(layer, shifted, rounded, bounds)
    exact.outputs[index], rounded.outputs[index] = exact.x, rounded.x
    return layer.bias + correction


def _finish(layer: Layer, sums: list[Tensor], walk: Walk, bounds: dict[str, Range] | None = None) -> list[Tensor]:
    """Activation and skip after the sums; with `bounds`, every result is rounded as int8 would."""
    results: list[Tensor] = []
    for number, y in enumerate(sums):
        y = y.clamp(0, 6) if layer.relu6 else y
        y = round_activation(y, bounds[layer.name]) if bounds else y
        if layer.skip_from is not None:
            y = y + walk.outputs[layer.skip_from][number]
            y = round_activation(y, bounds[f"{layer.name}.sum"]) if bounds else y
        results.append(y)
    return results


def _forget_unneeded(layers: list[Layer], index: int, *walks: Walk) -> None:
    wanted = {layer.skip_from for layer in layers[index + 1 :]} | {index}
    for walk in walks:
        for old in [key for key in walk.outputs if key not in wanted]:
            del walk.outputs[old]
