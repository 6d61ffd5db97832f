"""Preprocessing against a slow reference in float64, for every color, fit and dtype."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core.types import FULL, Box, Fit, Frame, InputSpec, ModelSpec, Region
from edged.edges.pixels import Preprocessor, geometry, least_scale
from tests.fakes import model, tensor
from tests.shots import ENCODERS

COLORS = ["rgb", "bgr", "grey"]
FITS: list[Fit] = ["stretch", "center-crop", "letterbox"]
DTYPES = {"int8": (2.0, 3), "uint8": (2.0, 100), "float32": (None, None)}
"""Scale and zero point: coarse enough to tell where a rounding went wrong."""


def spec(
    color: str, dtype: str, size: tuple[int, int], mean: tuple[float, ...] = (), fit: Fit = "stretch"
) -> ModelSpec:
    channels = 1 if color == "grey" else 3
    mean = mean or ((100.0, 120.0, 140.0) if channels == 3 else (110.0,))
    shape = (1, size[1], size[0], channels)
    scale, zero_point = DTYPES[dtype]
    input_tensor = tensor(shape, dtype, scale, zero_point)
    return model(input_spec=InputSpec(color, fit, mean, (1.0,)), input_tensor=input_tensor)


def picture(width_px: int, height_px: int, seed: int = 0, smooth: bool = True) -> np.ndarray:
    """A colourful picture; a smooth one, so that a pixel's place matters and a rounding of weights does not."""
    if not smooth:
        return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)
    y, x = np.mgrid[0:height_px, 0:width_px].astype(np.float64)
    x, y = x / max(width_px - 1, 1), y / max(height_px - 1, 1)
    return np.stack([255 * x, 255 * y, 127.5 * (1 + x - y)], axis=2).round().astype(np.uint8)


def bilinear(source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Samples at pixel centres, with the border continued."""
    height, width = source.shape[:2]

    def axis(count: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.clip((np.arange(count) + 0.5) * length / count - 0.5, 0, length - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, length - 1), at - low

    x0, x1, fx = axis(size[0], width)
    y0, y1, fy = axis(size[1], height)
    fx, fy = fx[None, :, None], fy[:, None, None]
    pixel = source.astype(np.float64)
    top = pixel[y0][:, x0] * (1 - fx) + pixel[y0][:, x1] * fx
    bottom = pixel[y1][:, x0] * (1 - fx) + pixel[y1][:, x1] * fx
    return top * (1 - fy) + bottom * fy


def blocks(source: np.ndarray, factor: int) -> np.ndarray:
    """The mean of each block of factor by factor pixels; what is left over at the right and below is left out."""
    height, width = source.shape[0] // factor, source.shape[1] // factor
    cut = source[: height * factor, : width * factor].astype(np.float64)
    return cut.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


def shrunk(source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    factor_x, factor_y = Fraction(source.shape[1], size[0]), Fraction(source.shape[0], size[1])
    if factor_x == factor_y and factor_x.denominator == 1:
        return blocks(source, int(factor_x))
    if min(factor_x, factor_y) >= 3:
        return bilinear(blocks(source, int(min(factor_x, factor_y))), size)
    return bilinear(source, size)


def as_frame(pixels: np.ndarray | Frame) -> Frame:
    return pixels if isinstance(pixels, Frame) else Frame(pixels, 0.0)


def expected(what: ModelSpec, pixels: np.ndarray, box: Box, fit: Fit) -> np.ndarray:
    """The real pixel values, (height, width, channel), before any table."""
    (left, top, right, bottom), (x0, y0, x1, y1) = geometry(
        box.pixels(pixels.shape[1], pixels.shape[0]), fit, what.input_size
    )
    small = shrunk(pixels[top:bottom, left:right], (x1 - x0, y1 - y0))
    if what.input.color == "grey":
        small = (small @ [0.114, 0.587, 0.299])[:, :, None]
    elif what.input.color == "rgb":
        small = small[:, :, ::-1]
    whole = np.empty((*what.input_size[::-1], small.shape[2]))
    whole[:] = np.rint(what.input.mean)
    whole[y0:y1, x0:x1] = small
    return whole


def written(what: ModelSpec, pixels: np.ndarray | Frame, box: Box, fit: Fit) -> np.ndarray:
    """The input tensor, brought back to pixel values."""
    out = np.zeros(what.input_tensor.shape, what.input_tensor.dtype)
    Preprocessor(what).into(as_frame(pixels), box, fit, out)
    real = out[0].astype(np.float64)
    if what.input_tensor.quantization is not None:
        q = what.input_tensor.quantization
        real = (real - q.zero_point) * q.scale
    return real * np.asarray(what.input.std) + np.asarray(what.input.mean)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("frame_px", [(64, 48), (37, 53), (128, 96), (160, 100)], ids=str)
def test_a_frame_becomes_what_the_manifest_says(color: str, fit: Fit, dtype: str, frame_px: tuple[int, int]) -> None:
    what = spec(color, dtype, (32, 24))
    pixels = picture(*frame_px)
    kept = pixels.copy()
    found = written(what, pixels, FULL, fit)
    # Two roundings of a pixel on the way, and half a step of the table.
    np.testing.assert_allclose(found, expected(what, pixels, FULL, fit), atol=2.0 if dtype == "float32" else 3.0)
    np.testing.assert_array_equal(pixels, kept)


@pytest.mark.parametrize("fit", FITS)
def test_a_region_is_cut_out_before_anything_else(fit: Fit) -> None:
    what = spec("rgb", "float32", (16, 16))
    pixels = picture(80, 60)
    box = Box(0.25, 0.5, 0.75, 1.0)
    found = written(what, pixels, box, fit)
    np.testing.assert_allclose(found, expected(what, pixels, box, fit), atol=2.0)
    alone = np.ascontiguousarray(pixels[30:60, 20:60])
    np.testing.assert_array_equal(found, written(what, alone, FULL, fit))


def test_colors_are_in_the_order_that_the_model_wants() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:] = (10, 100, 200)  # blue, green, red
    np.testing.assert_allclose(written(spec("bgr", "float32", (8, 8)), pixels, FULL, "stretch")[0, 0], (10, 100, 200))
    np.testing.assert_allclose(written(spec("rgb", "float32", (8, 8)), pixels, FULL, "stretch")[0, 0], (200, 100, 10))
    grey = written(spec("grey", "float32", (8, 8)), pixels, FULL, "stretch")[0, 0]
    np.testing.assert_allclose(grey, 0.114 * 10 + 0.587 * 100 + 0.299 * 200, atol=0.6)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bars_of_a_letterbox_are_the_mean(color: str, dtype: str) -> None:
    what = spec(color, dtype, (32, 32))
    white = np.full((32, 64, 3), 255, np.uint8)
    found = written(what, white, FULL, "letterbox")
    np.testing.assert_allclose(found[:8], np.broadcast_to(what.input.mean, found[:8].shape), atol=1e-4)
    np.testing.assert_allclose(found[24:], np.broadcast_to(what.input.mean, found[24:].shape), atol=1e-4)
    assert found[8:24].min() >= 254.0


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_a_whole_factor_averages_blocks(factor: int) -> None:
    what = spec("bgr", "float32", (16, 12))
    pixels = picture(16 * factor, 12 * factor, seed=factor, smooth=False)
    np.testing.assert_allclose(written(what, pixels, FULL, "stretch"), blocks(pixels, factor), atol=0.51)


@pytest.mark.parametrize("frame_px", [(53, 41), (100, 77), (111, 37), (65, 200)], ids=str)
def test_from_a_third_on_blocks_are_averaged_before_sampling(frame_px: tuple[int, int]) -> None:
    what = spec("bgr", "float32", (16, 12))
    pixels = picture(*frame_px, seed=1, smooth=False)
    np.testing.assert_allclose(written(what, pixels, FULL, "stretch"), shrunk(pixels, (16, 12)), atol=1.6)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tensor_itself_is_written_and_nothing_around_it(color: str, dtype: str) -> None:
    what = spec(color, dtype, (16, 12))
    shape = what.input_tensor.shape
    around = np.full((3, *shape[1:]), 77, what.input_tensor.dtype)
    mine = around[1:2]
    preprocessor = Preprocessor(what)
    pixels = picture(64, 64)
    for fit in FITS:
        mine[:] = 55
        preprocessor.into(Frame(pixels, 0.0), FULL, fit, mine)
        assert not (mine == 55).all()
    assert (around[0] == 77).all()
    assert (around[2] == 77).all()


def test_a_tensor_that_cannot_be_written_in_place_is_refused() -> None:
    what = spec("rgb", "int8", (16, 12))
    wrong = np.zeros((1, 12, 17, 3), np.int8)
    with pytest.raises(ValueError, match="did not write into the input tensor"):
        Preprocessor(what).into(Frame(picture(64, 48), 0.0), FULL, "stretch", wrong)


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def boxes_px(draw: st.DrawFn) -> tuple[int, int, int, int]:
    left, top = draw(st.integers(0, 2000)), draw(st.integers(0, 2000))
    return left, top, left + draw(st.integers(1, 2000)), top + draw(st.integers(1, 2000))


def area(rectangle: tuple[int, int, int, int]) -> tuple[int, int]:
    return rectangle[2] - rectangle[0], rectangle[3] - rectangle[1]


def is_inside(inner: tuple[int, int, int, int], outer: tuple[int, int, int, int]) -> bool:
    return outer[0] <= inner[0] < inner[2] <= outer[2] and outer[1] <= inner[1] < inner[3] <= outer[3]


@given(boxes_px(), st.sampled_from(FITS), sizes)
def test_geometry_stays_within_the_region_and_the_input(
    box: tuple[int, int, int, int], fit: Fit, size: tuple[int, int]
) -> None:
    crop, inner = geometry(box, fit, size)
    assert is_inside(crop, box)
    assert is_inside(inner, (0, 0, *size))
    assert (crop == box) or fit == "center-crop"
    assert (inner == (0, 0, *size)) or fit == "letterbox"


@given(boxes_px(), sizes)
def test_a_center_crop_is_the_largest_centred_part_of_the_right_shape(
    box: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    crop, _ = geometry(box, "center-crop", size)
    (width, height), (whole_width, whole_height) = area(crop), area(box)
    assert width == whole_width or height == whole_height
    # Within a pixel the sides are as those of the input.
    assert abs(width * size[1] - height * size[0]) <= max(size)
    assert abs((crop[0] - box[0]) - (box[2] - crop[2])) <= 1
    assert abs((crop[1] - box[1]) - (box[3] - crop[3])) <= 1


@given(boxes_px(), sizes)
def test_a_letterbox_keeps_the_shape_of_the_region(box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    _, inner = geometry(box, "letterbox", size)
    (width, height), (whole_width, whole_height) = area(inner), area(box)
    assert width == size[0] or height == size[1]
    assert abs(width * whole_height - height * whole_width) <= max(whole_width, whole_height)
    assert abs(inner[0] - (size[0] - inner[2])) <= 1
    assert abs(inner[1] - (size[1] - inner[3])) <= 1


@given(st.sampled_from(COLORS), st.sampled_from(sorted(DTYPES)), st.sampled_from(FITS), sizes, sizes, st.data())
def test_any_region_of_any_frame_into_any_input(
    color: str, dtype: str, fit: Fit, frame_px: tuple[int, int], size: tuple[int, int], data: st.DataObject
) -> None:
    left, top = data.draw(st.integers(0, frame_px[0] - 1)), data.draw(st.integers(0, frame_px[1] - 1))
    right = data.draw(st.integers(left + 1, frame_px[0]))
    bottom = data.draw(st.integers(top + 1, frame_px[1]))
    box = Box(left / frame_px[0], top / frame_px[1], right / frame_px[0], bottom / frame_px[1])
    what = spec(color, dtype, size)
    pixels = picture(*frame_px)
    # Two roundings and, in tiny pictures, the eleven bits of cv2's weights on steep slopes; half a step of the table.
    tolerance = 2.5 if dtype == "float32" else 3.5
    np.testing.assert_allclose(written(what, pixels, box, fit), expected(what, pixels, box, fit), atol=tolerance)


def alike(found: np.ndarray, wanted: np.ndarray, encoding: str) -> None:
    """In YUV, colours are rounded once more and have half the resolution: brightness must be right, they near."""
    if encoding == "bgr":
        np.testing.assert_allclose(found, wanted, atol=4.0)
        return
    weights = [0.299, 0.587, 0.114] if found.shape[2] == 3 else [1.0]
    step = max(np.abs(np.diff(wanted, axis=axis)).max() for axis in (0, 1))
    np.testing.assert_allclose(found @ weights, wanted @ weights, atol=4.0 + step / 2)
    assert np.abs(found - wanted).mean() <= 2.0 + step / 4
    assert np.abs(found - wanted).max() <= 8.0 + 2 * step


@pytest.mark.parametrize("rotate_deg", [90, 180, 270])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("encoding", ["bgr", "yuyv", "yuv420"])
def test_a_frame_that_is_yet_to_be_turned_gives_what_the_turned_one_would(
    rotate_deg: int, fit: Fit, encoding: str
) -> None:
    what = spec("rgb", "float32", (32, 24))
    seen = picture(96, 80)
    box = Box(0.25, 0.1, 0.75, 1.0)
    lying = np.ascontiguousarray(np.rot90(seen, rotate_deg // 90))
    frame = Frame(ENCODERS[encoding](lying), 0.0, np.zeros((1, 1)), encoding=encoding, rotate_deg=rotate_deg)
    alike(written(what, frame, box, fit), expected(what, seen, box, fit), encoding)


@pytest.mark.parametrize("encoding", ["yuyv", "yuv420"])
@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(32, 24), (33, 25), (224, 224)], ids=str)
def test_yuv_gives_what_the_same_picture_in_bgr_gives(
    encoding: str, color: str, fit: Fit, size: tuple[int, int]
) -> None:
    what = spec(color, "float32", size)
    pixels = picture(640, 480)
    box = Box(0.1, 0.0, 0.9, 0.7)
    frame = Frame(ENCODERS[encoding](pixels), 0.0, np.zeros((1, 1)), encoding=encoding)
    alike(written(what, frame, box, fit), expected(what, pixels, box, fit), encoding)


def test_a_picture_may_be_shrunk_until_a_region_has_as_many_pixels_as_the_model_takes() -> None:
    full, door = Region("full", FULL, "center-crop"), Region("door", Box(0.0, 0.0, 0.5, 1.0), "stretch")
    assert least_scale([full], (224, 224), (1280, 720), 0) == pytest.approx(224 / 720)
    assert least_scale([full, door], (224, 224), (1280, 720), 0) == pytest.approx(224 / 640)
    assert least_scale([full], (224, 224), (160, 120), 0) == 1.0
    assert least_scale([Region("full", FULL, "stretch")], (100, 50), (100, 200), 90) == pytest.approx(0.5)
    assert least_scale([], (224, 224), (1280, 720), 0) == 1.0


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("frame_px", [(640, 480), (448, 448)], ids=str)
def test_in_steady_state_nothing_as_large_as_a_picture_is_allocated(
    color: str, fit: Fit, frame_px: tuple[int, int]
) -> None:
    what = spec(color, "int8", (224, 224))
    out = np.zeros(what.input_tensor.shape, np.int8)
    pixels = picture(*frame_px)
    preprocessor = Preprocessor(what)
    for _ in range(5):
        preprocessor.into(Frame(pixels, 0.0), FULL, fit, out)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(200):
            preprocessor.into(Frame(pixels, 0.0), FULL, fit, out)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 16 * 1024
    assert after - before < 2 * 1024
