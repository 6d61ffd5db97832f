"""From shots to frames: masks first, as little decoded as is asked for, the brightness picture, repeats."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.core.errors import CameraError
from edged.core.shot import PictureFormat, Shot
from edged.core.types import Box, Frame, InputSpec
from edged.edges import pixels_jpeg
from edged.edges.pixels import Preprocessor
from edged.edges.pixels_shot import Developer
from tests.fakes import model, tensor
from tests.shots import jpeg, shot

ENCODINGS = ["bgr", "yuyv", "yuv420", "jpeg"]
WIDTH, HEIGHT = 320, 240


def scene(seed=0, width_px=WIDTH, height_px=HEIGHT):
    """A colourful picture with shapes in it."""
    coarse = np.random.default_rng(seed).integers(40, 216, (height_px // 40, width_px // 40, 3), np.uint8)
    return cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)


def developed(picture, encoding, rotate_deg=0, masks=(), least_scale=1.0):
    taken, picture_format = shot(picture, encoding)
    return Developer(picture_format, rotate_deg, masks, least_scale).frame(taken)


def as_bgr(frame):
    """What a model that takes BGR would see of the whole frame, at its own size."""
    height, width = frame.pixels.shape[:2]
    height = height * 2 // 3 if frame.encoding == "yuv420" else height
    if frame.rotate_deg in (90, 270):
        height, width = width, height
    spec = model(
        input_spec=InputSpec("rgb", "stretch", (0.0,), (1.0,)),
        input_tensor=tensor((1, height, width, 3), "uint8", 1.0, 0),
    )
    out = np.zeros((1, height, width, 3), np.uint8)
    Preprocessor(spec).into(frame, Box(0.0, 0.0, 1.0, 1.0), "stretch", out)
    return out[0, :, :, ::-1]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_brightness_is_that_of_the_picture(encoding):
    picture = scene()
    frame = developed(picture, encoding)
    luma = frame.luma
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), luma.shape[::-1], interpolation=cv2.INTER_AREA)
    assert min(luma.shape) in range(30, 90)
    assert luma.dtype == np.uint8
    # YUV as cameras send it has 16 to 235 for black to white.
    wanted = 16 + grey * (219 / 255) if encoding in ("yuyv", "yuv420") else grey
    assert np.abs(luma.astype(float) - wanted).mean() < 4


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("rotate_deg", [0, 90, 180, 270])
def test_a_mask_is_black_where_people_see_it_and_nothing_else_is(encoding, rotate_deg):
    mask = Box(0.0, 0.0, 0.3, 0.5)  # upper left, as people see it
    frame = developed(scene(), encoding, rotate_deg, [mask])
    seen = as_bgr(frame)
    height, width = seen.shape[:2]
    assert seen[: height // 2, : int(0.3 * width)].max() <= (2 if encoding != "jpeg" else 0)
    margin = 8 if encoding != "jpeg" else 20  # whole blocks are hidden
    assert seen[height // 2 + margin :].max(axis=2).min() > 10
    assert seen[:, int(0.3 * width) + margin :].max(axis=2).min() > 10
    luma_height, luma_width = frame.luma.shape
    assert (luma_height > luma_width) == (rotate_deg in (90, 270))
    assert not frame.luma[: luma_height // 2, : int(0.3 * luma_width)].any()
    assert frame.luma[luma_height // 2 + 4 :].min() > 10
    assert frame.luma[:, int(0.3 * luma_width) + 4 :].min() > 10


@settings(deadline=None, max_examples=60)
@given(
    encoding=st.sampled_from(ENCODINGS),
    rotate_deg=st.sampled_from([0, 90, 180, 270]),
    edges=st.tuples(*(st.floats(0, 0.98) for _ in range(2)), *(st.floats(0.005, 1) for _ in range(2))),
    scale=st.sampled_from([1.0, 0.5, 0.2]),
)
def test_what_is_behind_a_mask_changes_nothing(encoding, rotate_deg, edges, scale):
    """Two pictures that differ under the mask alone make the same frame, to the last bit."""
    left, top, width, height = edges
    mask = Box(left, top, min(1.0, left + width), min(1.0, top + height))
    size = (HEIGHT, WIDTH) if rotate_deg in (90, 270) else (WIDTH, HEIGHT)
    x0, y0, x1, y1 = mask.pixels(*size)  # what is certainly hidden
    frames = []
    for level in (0, 255):
        seen = scene(0, *size)
        seen[y0:y1, x0:x1] = level
        lying = np.ascontiguousarray(np.rot90(seen, rotate_deg // 90))
        frame = developed(lying, encoding, rotate_deg, [mask], scale)
        frames.append((frame.luma.copy(), frame.pixels.copy()))
    np.testing.assert_array_equal(frames[0][0], frames[1][0])
    np.testing.assert_array_equal(frames[0][1], frames[1][1])


def test_a_jpeg_is_decoded_at_the_smallest_scale_that_serves():
    picture = scene(0, 1280, 720)
    assert developed(picture, "jpeg", least_scale=224 / 720).pixels.shape == (360, 640, 3)
    assert developed(picture, "jpeg", least_scale=0.2).pixels.shape == (180, 320, 3)
    assert developed(picture, "jpeg", least_scale=0.51).pixels.shape == (720, 1280, 3)
    half = developed(picture, "jpeg", least_scale=0.5).pixels
    wanted = cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - wanted).mean() < 3


def test_the_gate_cannot_tell_an_eighth_of_a_jpeg_from_a_decoded_picture():
    """Brightness is made in two ways, and a change of ways must not look like movement."""
    for seed in range(5):
        taken, picture_format = shot(scene(seed, 1280, 720), "jpeg")
        developer = Developer(picture_format, 0, (), 0.5)
        alone = developer.frame(taken).luma.copy()
        assert developer.frame(taken).pixels.any()
        decoded = developer.frame(taken).luma
        assert alone.shape == decoded.shape == (90, 160)
        assert np.abs(alone.astype(int) - decoded).max() <= 4


def test_a_jpeg_is_decoded_once_where_the_last_one_was_classified_too():
    taken, picture_format = shot(scene(), "jpeg")
    developer = Developer(picture_format, 0, (), 0.5)
    for _ in range(3):
        assert developer.frame(taken).luma.any()
    assert developer.decoded == 3
    frame = developer.frame(taken)
    assert frame.luma.any()
    assert frame.pixels.any()
    assert developer.decoded == 5, "brightness for the gate, and the picture for the classifier"
    frame = developer.frame(taken)
    assert frame.pixels.any()
    assert frame.luma.any()
    assert developer.decoded == 6, "once, for both"
    for _ in range(3):
        assert developer.frame(taken).luma.any()
    assert developer.decoded == 9


@pytest.mark.parametrize("encoding", ["bgr", "yuyv", "yuv420"])
def test_no_other_encoding_is_decoded_or_copied(encoding):
    taken, picture_format = shot(scene(), encoding)
    developer = Developer(picture_format, 0, (), 0.5)
    assert np.shares_memory(developer.frame(taken).pixels, taken.data)
    assert developer.decoded == 0


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_bytes_again_are_a_repetition(encoding):
    first, picture_format = shot(scene(1), encoding)
    other, _ = shot(scene(2), encoding)
    developer = Developer(picture_format, 0, [Box(0.0, 0.0, 0.5, 0.5)], 1.0)

    def again(taken):
        return developer.frame(Shot(taken.data.copy(), taken.size_bytes, 0.0)).repeated

    assert [again(first), again(first), again(other), again(first), again(first)] == [False, True, False, False, True]


def with_clock(picture, second):
    """What many cameras write into a corner of a picture, whatever else is in it; on a ground that changes, too."""
    told = picture.copy()
    told[:30, :150] = 40 * (second % 5) + 20
    cv2.putText(told, f"12:00:{second:02}", (4, 24), cv2.FONT_HERSHEY_PLAIN, 1.2, (255, 255, 255), 2)
    return told


CLOCK = Box(0.0, 0.0, 0.5, 0.15)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("rotate_deg", [0, 90])
def test_a_clock_under_a_mask_does_not_hide_a_frozen_picture(encoding, rotate_deg):
    mask = CLOCK if rotate_deg == 0 else Box(0.85, 0.0, 1.0, 0.5)
    developer = Developer(PictureFormat(WIDTH, HEIGHT, encoding), rotate_deg, [mask], 1.0)
    told = [developer.frame(shot(with_clock(scene(1), second), encoding)[0]).repeated for second in range(5)]
    assert told == [False, True, True, True, True]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_clock_without_a_mask_does(encoding):
    developer = Developer(PictureFormat(WIDTH, HEIGHT, encoding), 0, (), 1.0)
    assert not any(developer.frame(shot(with_clock(scene(1), second), encoding)[0]).repeated for second in range(5))


def test_a_frozen_jpeg_with_a_masked_clock_is_found_although_some_of_its_pictures_are_classified():
    """A change between the two ways to brightness is no movement."""
    developer = Developer(PictureFormat(WIDTH, HEIGHT, "jpeg"), 0, [CLOCK], 0.5)
    told = []
    for second in range(20):
        frame = developer.frame(shot(with_clock(scene(1), second), "jpeg")[0])
        told.append(frame.repeated)
        if second % 4 == 0:
            assert frame.pixels.any()
    assert told[0] is False
    assert told[1] is False, "the first picture that was decoded because the last one was classified"
    assert all(told[2:])


@pytest.mark.parametrize("classified", [False, True])
def test_the_noise_of_a_sensor_shows_beside_a_mask_through_strong_compression(classified):
    random = np.random.default_rng(0)
    developer = Developer(PictureFormat(WIDTH, HEIGHT, "jpeg"), 0, [Box(0.0, 0.0, 1.0, 0.5)], 0.5)
    for _ in range(50):
        noisy = cv2.add(scene(1), random.integers(0, 3, (HEIGHT, WIDTH, 3), np.uint8))
        content = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 40])[1].reshape(-1)
        frame = developer.frame(as_shot(content)[0])
        assert not frame.repeated
        assert not classified or frame.pixels.any()


def test_the_noise_of_a_sensor_is_no_repetition():
    random = np.random.default_rng(0)
    picture = scene(1)
    developer = Developer(PictureFormat(WIDTH, HEIGHT, "yuyv"), 0, (), 1.0)
    for _ in range(50):
        noisy = cv2.add(picture, random.integers(0, 3, picture.shape, np.uint8))
        assert not developer.frame(shot(noisy, "yuyv")[0]).repeated


def without_tables(data):
    """The same JPEG without its Huffman tables, as many webcams send it."""
    kept, at = bytearray(data[:2].tobytes()), 2
    raw = data.tobytes()
    while raw[at + 1] != 0xDA:
        length = int.from_bytes(raw[at + 2 : at + 4])
        if raw[at + 1] != 0xC4:
            kept += raw[at : at + 2 + length]
        at += 2 + length
    return np.frombuffer(bytes(kept) + raw[at:], np.uint8)


def as_shot(data, width_px=WIDTH, height_px=HEIGHT):
    picture_format = PictureFormat(width_px, height_px, "jpeg")
    buffer = np.zeros(picture_format.size_bytes, np.uint8)
    buffer[: data.size] = data
    return Shot(buffer, data.size, 0.0), picture_format


@pytest.mark.parametrize(
    "spoil",
    [
        without_tables,
        lambda data: np.append(data, np.zeros(40, np.uint8)),
        lambda data: np.concatenate([data[:-2], np.array([1, 2, 3], np.uint8), data[-2:]]),
    ],
    ids=["no tables", "padded", "bytes too many"],
)
def test_what_webcams_get_wrong_and_every_viewer_forgives(spoil):
    if spoil is without_tables and pixels_jpeg.simplejpeg is None:
        pytest.skip("OpenCV's own decoder")
    taken, picture_format = as_shot(spoil(jpeg(scene())))
    frame = Developer(picture_format, 0, (), 1.0).frame(taken)
    assert np.abs(frame.pixels.astype(int) - scene()).mean() < 6
    assert frame.luma.any()


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("wanted", [False, True])
def test_a_truncated_jpeg_is_damaged(keep, wanted):
    data = jpeg(scene())
    developer = Developer(as_shot(data)[1], 0, (), 1.0)
    if wanted:
        assert developer.frame(as_shot(data)[0]).pixels.any()
    with pytest.raises(CameraError, match="damaged") as caught:
        developer.frame(as_shot(data[: int(keep * data.size)])[0])
    assert caught.value.reason == "camera_lost"


@pytest.mark.parametrize("size", [(640, 480), (160, 120), (WIDTH - 4, HEIGHT), (WIDTH, HEIGHT - 6)])
def test_a_jpeg_of_another_size_is_a_fault(size):
    picture = cv2.resize(scene(), size)
    taken, _ = as_shot(jpeg(picture), 640, 480)
    with pytest.raises(CameraError, match="another size") as caught:
        Developer(PictureFormat(WIDTH, HEIGHT, "jpeg"), 0, (), 1.0).frame(taken)
    assert caught.value.reason == "camera_fault"


@settings(deadline=None, max_examples=200)
@given(at=st.integers(0, 1 << 20), value=st.integers(0, 255), cut=st.integers(0, 1 << 20))
def test_no_damage_ends_in_anything_but_a_picture_or_a_camera_error(at, value, cut):
    data = jpeg(scene()).copy()
    data[at % data.size] = value
    data = data[: max(1, cut % (2 * data.size))]
    try:
        frame = Developer(as_shot(data)[1], 0, (), 0.5).frame(as_shot(data)[0])
        assert isinstance(frame, Frame)
        assert frame.pixels.shape == (120, 160, 3)
    except CameraError:
        pass


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_in_steady_state_nothing_as_large_as_the_decoded_picture_is_allocated(encoding):
    taken, picture_format = shot(scene(0, 1280, 720), encoding)
    developer = Developer(picture_format, 90, [Box(0.0, 0.0, 0.2, 0.2)], 0.35)

    def look(count):
        for _ in range(count):
            frame = developer.frame(taken)
            assert frame.luma is not None
            assert frame.pixels is not None

    look(5)
    tracemalloc.start()
    try:
        look(2)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        look(30)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2048
    # simplejpeg has no use for a kept buffer of another size than it asks for: the small picture, not the decoded one.
    assert peak - before < 64 * 1024
