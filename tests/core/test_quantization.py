"""The two tables against the formulas."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core.quantization import dequantize_table, pixel_table
from edged.core.types import InputSpec, Quantization, TensorSpec
from tests.fakes import tensor

numbers = st.floats(-300, 300, width=32)
positive = st.floats(2**-10, 300, width=32)
scales = st.floats(2**-13, 10, width=32)


def spec(mean: tuple[float, ...], std: tuple[float, ...]) -> InputSpec:
    return InputSpec("rgb", "stretch", mean, std)


@given(st.sampled_from([1, 3]), st.data(), st.sampled_from(["int8", "uint8"]), scales, st.integers(0, 127))
def test_each_pixel_is_quantized_as_the_formula_says(
    channels: int, data: st.DataObject, dtype: str, scale: float, zero_point: int
) -> None:
    mean = tuple(data.draw(st.lists(numbers, min_size=channels, max_size=channels)))
    std = tuple(data.draw(st.lists(positive, min_size=channels, max_size=channels)))
    table = pixel_table(spec(mean, std), TensorSpec((1, 8, 8, 3), dtype, Quantization(scale, zero_point)))
    assert table.dtype == np.dtype(dtype)
    assert table.shape in ((1, 256, channels), (1, 256, 1))
    limits = np.iinfo(dtype)
    for pixel in (0, 1, 2, 100, 127, 128, 200, 254, 255):
        for channel in range(channels):
            # In fractions, so that only the table's own rounding can differ, and by one step at most.
            exact = (pixel - Fraction(mean[channel])) / Fraction(std[channel]) / Fraction(scale) + zero_point
            found = int(table[0, pixel, min(channel, table.shape[2] - 1)])
            nearest = min(max(round(exact), limits.min), limits.max)
            is_tie = abs(exact - (exact.numerator // exact.denominator) - Fraction(1, 2)) < Fraction(1, 10**6)
            assert found == nearest or (is_tie and abs(found - nearest) <= 1)


@given(st.lists(numbers, min_size=3, max_size=3), st.lists(positive, min_size=3, max_size=3))
def test_a_float_tensor_takes_the_real_value(mean: list[float], std: list[float]) -> None:
    table = pixel_table(spec(tuple(mean), tuple(std)), tensor((1, 8, 8, 3), "float32"))
    assert table.dtype == np.float32
    expected = (np.arange(256.0)[:, None] - np.array(mean)) / np.array(std)
    np.testing.assert_array_equal(np.broadcast_to(table[0], (256, 3)), expected.astype(np.float32))


def test_the_usual_models_have_the_identity_as_table() -> None:
    pixels = np.arange(256)
    uint8 = pixel_table(spec((0.0,), (255.0,)), tensor((1, 8, 8, 3), "uint8", 1 / 255, 0))
    np.testing.assert_array_equal(uint8[0, :, 0], pixels)
    int8 = pixel_table(spec((0.0,), (255.0,)), tensor((1, 8, 8, 3), "int8", 1 / 255, -128))
    np.testing.assert_array_equal(int8[0, :, 0], pixels - 128)


def test_halves_round_to_even_and_the_rest_saturates() -> None:
    table = pixel_table(spec((0.0,), (1.0,)), tensor((1, 8, 8, 3), "int8", 2.0, 0))
    assert table[0, [1, 3, 5, 7], 0].tolist() == [0, 2, 2, 4]
    wide = pixel_table(spec((128.0,), (1.0,)), tensor((1, 8, 8, 3), "int8", 0.5, 0))
    assert wide[0, [0, 63, 64, 128, 191, 192, 255], 0].tolist() == [-128, -128, -128, 0, 126, 127, 127]


def test_channels_that_are_alike_share_one_column() -> None:
    assert pixel_table(spec((1.0, 1.0, 1.0), (2.0,)), tensor((1, 8, 8, 3))).shape == (1, 256, 1)
    assert pixel_table(spec((1.0, 1.0, 2.0), (2.0,)), tensor((1, 8, 8, 3))).shape == (1, 256, 3)


@given(st.sampled_from(["int8", "uint8"]), scales, st.integers(-128, 255))
def test_the_table_of_real_values_is_indexed_by_the_byte(dtype: str, scale: float, zero_point: int) -> None:
    table = dequantize_table(tensor((1, 10), dtype, scale, zero_point))
    raw = np.arange(256, dtype=np.uint8).view(dtype)
    np.testing.assert_array_equal(table[raw.view(np.uint8)], scale * (raw.astype(np.float64) - zero_point))


@pytest.mark.parametrize("wrong", [tensor((1, 10), "float32"), TensorSpec((1, 10), "int16", Quantization(1.0, 0))])
def test_there_is_no_table_for_other_tensors(wrong: TensorSpec) -> None:
    with pytest.raises(ValueError, match="needs an int8 or uint8 tensor"):
        dequantize_table(wrong)
