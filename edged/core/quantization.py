"""Quantization as two 256-entry tables: pixel -> q on the way in, q -> real value on the way out.

A pixel has 256 values and an int8 or uint8 tensor has 256 values, so any mean, std, scale and zero point is a table
look-up, whatever the arithmetic behind it costs. Nothing here runs per frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edged.core.types import InputSpec, TensorSpec


def pixel_table(spec: InputSpec, tensor: TensorSpec) -> NDArray[np.generic]:
    """What each pixel value becomes in the input tensor.

    Args:
        spec: mean and std, one value or one a channel.
        tensor: the input tensor; a float tensor has no quantization and takes the real value as it is.

    Returns:
        (1, 256, channels) of the tensor's dtype, (1, 256, 1) where all channels are alike. Rounds half to even and
        saturates, as LiteRT's own quantize does.
    """
    pixel = np.arange(256, dtype=np.float64)[:, None]
    real = (pixel - np.asarray(spec.mean)) / np.asarray(spec.std)
    if np.all(real == real[:, :1]):
        real = real[:, :1]
    if tensor.quantization is None:
        return np.ascontiguousarray(real[None], dtype=np.float32)
    limits = np.iinfo(tensor.dtype)
    q = np.rint(real / tensor.quantization.scale) + tensor.quantization.zero_point
    return np.ascontiguousarray(np.clip(q, limits.min, limits.max)[None], dtype=tensor.dtype)


def dequantize_table(tensor: TensorSpec) -> NDArray[np.float64]:
    """The real value of each of the 256 possible bytes of a quantized tensor.

    Returns:
        (256,) float64, indexed by the byte as unsigned: for int8, entry 255 is the value of q = -1.

    Raises:
        ValueError: the tensor is not quantized to eight bits.
    """
    if tensor.quantization is None or tensor.dtype not in ("int8", "uint8"):
        raise ValueError(f"a table needs an int8 or uint8 tensor, found {tensor.dtype}")
    q = np.arange(256, dtype=np.uint8).view(tensor.dtype).astype(np.float64)
    return tensor.quantization.scale * (q - tensor.quantization.zero_point)
