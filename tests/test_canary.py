"""The search for the canary finds it in every form that pixels could leave in, and nothing where there is nothing."""

import base64
import gzip
import json
import sqlite3
import zlib

import cv2
import numpy as np
import pytest

from edged.modelstore import bundled
from tests.canary import CELL_PX, SIZE, findings, picture
from tests.conftest import EMULATED

pytestmark = pytest.mark.skipif(EMULATED, reason="nothing in it depends on the processor")

PICTURE = picture()
BAND = PICTURE[8:16]  # some rows are enough to be found by
GREY = cv2.cvtColor(PICTURE, cv2.COLOR_BGR2GRAY)
I420 = cv2.cvtColor(PICTURE, cv2.COLOR_BGR2YUV_I420)


def shrunk(width_px, height_px, source=PICTURE, how=cv2.INTER_AREA):
    return cv2.resize(source, (width_px, height_px), interpolation=how)


def yuyv(bgr):
    """As cameras pack it: Y0 U Y1 V."""
    yuv = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV)
    packed = np.empty((*bgr.shape[:2], 2), np.uint8)
    packed[..., 0] = yuv[..., 0]
    packed[:, 0::2, 1] = yuv[:, 0::2, 1]
    packed[:, 1::2, 1] = yuv[:, 0::2, 2]
    return packed


def encoded(suffix, source=PICTURE, *parameters):
    done, data = cv2.imencode(suffix, source, parameters)
    assert done
    return data.tobytes()


def square(source=PICTURE):
    """The middle, as a model with a square input sees it."""
    return source[:, 80:560]


RAW = {
    "BGR": BAND,
    "RGB": BAND[..., ::-1],
    "BGRA": cv2.cvtColor(BAND, cv2.COLOR_BGR2BGRA),
    "planes": BAND.transpose(2, 0, 1),
    "grey": GREY[:4],
    "YUYV": yuyv(BAND),
    "YUYV, its chroma alone": yuyv(BAND)[..., 1],
    "I420": I420[:32],
    "I420, U alone": I420[480:490],
    "I420, V alone": I420[600:610],
    "NV12's chroma": np.stack([I420[480:600].reshape(-1), I420[600:].reshape(-1)], axis=-1)[:2000],
    "one row": GREY[100],
    "one row of BGR": PICTURE[100],
    "turned by a quarter": np.rot90(PICTURE)[:4],
    "turned by a half": np.rot90(PICTURE, 2)[:4],
    "turned by three quarters": np.rot90(PICTURE, 3)[:4],
    "mirrored": PICTURE[:4, ::-1],
    "one column": PICTURE[:, 300],
    "the other turn": picture(1)[:4],
    "an int8 tensor": shrunk(224, 224) ^ 0x80,
    "a float32 tensor": ((shrunk(224, 224)[:20].astype(np.float32) - 127) / 128),
    "float32 grey": GREY[:4].astype(np.float32) - 127,
    "1/2": shrunk(320, 240)[:8],
    "1/2, nearest": shrunk(320, 240, how=cv2.INTER_NEAREST)[:8],
    "1/2, linear": shrunk(320, 240, how=cv2.INTER_LINEAR)[:8],
    "1/4": shrunk(160, 120)[:8],
    "1/8": shrunk(80, 60),
    "1/8 grey, a motion gate's thumbnail": shrunk(80, 60, GREY),
    "1/16 grey": shrunk(40, 30, GREY),
    "a model's input, stretched": shrunk(224, 224),
    "a model's input, from the middle": shrunk(224, 224, square()),
    "a model's input, nearest": shrunk(224, 224, how=cv2.INTER_NEAREST),
    "a model's input, linear": shrunk(224, 224, square(), how=cv2.INTER_LINEAR),
    "a model's input, letterbox": cv2.copyMakeBorder(shrunk(224, 168), 28, 28, 0, 0, cv2.BORDER_CONSTANT),
    "the tiny model's input": shrunk(96, 96),
    "the tiny model's input, from the middle": shrunk(96, 96, square()),
    "a smaller model's input": shrunk(64, 64),
    "decoded from JPEG at an eighth": cv2.imdecode(
        np.frombuffer(encoded(".jpg"), np.uint8), cv2.IMREAD_REDUCED_COLOR_8
    ),
    "through JPEG of low quality": cv2.imdecode(
        np.frombuffer(encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_QUALITY, 30), np.uint8), cv2.IMREAD_COLOR
    )[:8],
    "blurred": cv2.GaussianBlur(PICTURE, (9, 9), 0)[:8],
    "dimmed": (PICTURE[:8] * 0.5).astype(np.uint8),
}

THUMBNAIL = shrunk(80, 60, GREY)
WRAPPED = {
    "JPEG": encoded(".jpg"),
    "JPEG of low quality": encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_QUALITY, 20),
    "JPEG, small and grey": encoded(".jpg", THUMBNAIL),
    "JPEG, torn off": encoded(".jpg")[:20_000],
    "PNG": encoded(".png", shrunk(160, 120)),
    "WebP": encoded(".webp", shrunk(160, 120)),
    "BMP": encoded(".bmp", shrunk(160, 120)),
    "TIFF": encoded(".tiff", shrunk(160, 120)),
    "PPM": encoded(".ppm", shrunk(160, 120)),
    "GIF": b"GIF89a\x50\x00\x3c\x00\xf7\x00\x00",
    "MP4": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00",
    "MKV": b"\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00#B\x86\x81\x01B\x82\x88matroska",
    "base64": base64.b64encode(THUMBNAIL),
    "base64 for URLs": base64.urlsafe_b64encode(PICTURE[:2].tobytes()),
    "base64 in lines": base64.encodebytes(THUMBNAIL.tobytes()),
    "base64 of a JPEG": b'{"image": "data:image/jpeg;base64,' + base64.b64encode(encoded(".jpg")) + b'"}',
    "base64 after letters": b"letters" + base64.b64encode(THUMBNAIL),
    "hexadecimal": THUMBNAIL.tobytes().hex().encode(),
    "hexadecimal with spaces": THUMBNAIL.tobytes().hex(" ").encode(),
    "hexadecimal after a digit": b"a" + THUMBNAIL.tobytes().hex().encode(),
    "zlib": zlib.compress(PICTURE[:20].tobytes()),
    "zlib, torn off": zlib.compress(PICTURE[:20].tobytes())[:-100],
    "gzip": gzip.compress(PICTURE[:20].tobytes()),
    "zlib in base64": base64.b64encode(zlib.compress(THUMBNAIL.tobytes())),
    "bytes as Python writes them": repr(THUMBNAIL.tobytes()).encode(),
    "a list of numbers": repr(THUMBNAIL.tolist()).encode(),
    "a list of fractions": json.dumps((THUMBNAIL / 255).round(3).tolist()).encode(),
    "a list of rounded fractions": json.dumps(((THUMBNAIL - 127.0) / 128).round(1).tolist()).encode(),
    "numpy's writing": np.array2string(THUMBNAIL, threshold=10**9).encode(),
    "numpy's writing, shortened": repr(PICTURE).encode(),
    "numpy's writing of brightness": f"the thumbnail is {THUMBNAIL}".encode(),
    "numpy's writing of a row": str(GREY[7]).encode(),
    "numpy's writing of fractions": str(THUMBNAIL[3] / 255).encode(),
    "numpy's writing in a sentence": f"ValueError: cannot classify {PICTURE}".encode(),
}


@pytest.mark.parametrize("form", RAW)
def test_raw_pixels_are_found(form):
    data = np.ascontiguousarray(RAW[form]).tobytes()
    assert findings(data)
    # Somewhere in the middle of something else, at an odd place.
    around = np.random.default_rng(1).bytes(2001)
    assert any("pixels" in one for one in findings(around + data + around))


@pytest.mark.parametrize("form", WRAPPED)
def test_wrapped_pixels_are_found(form):
    assert findings(WRAPPED[form])
    assert findings(b"INFO edged: the picture is " + WRAPPED[form] + b" and no more\n" * 20)


def database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE event (seq INTEGER, body TEXT)")
        connection.executemany("INSERT INTO event VALUES (?, ?)", [(n, json.dumps({"seq": n})) for n in range(300)])
    connection.close()
    return path.read_bytes()


CHANCE = np.random.default_rng(20261129)  # the same bytes in each run: what is searched must not decide about a test


@pytest.mark.parametrize(
    "clean",
    [
        lambda _: b"",
        lambda _: bytes(100_000),
        lambda _: CHANCE.bytes(300_000),
        lambda _: bytes(range(256)) * 200,
        lambda _: "".join(
            f"{number}: the frame is {number % 7} ms old, [{number}, 3]\n" for number in range(3000)
        ).encode(),
        lambda _: repr([0.1, 0.2, 0.03, 1.0] * 30).encode(),
        lambda _: base64.b64encode(CHANCE.bytes(30_000)),
        lambda _: base64.b64encode(CHANCE.bytes(300_000)).swapcase(),
        lambda _: zlib.compress(b"nothing to see here" * 1000),
        lambda _: (bundled() / "shapes-int8" / "model.tflite").read_bytes()[:200_000],
        lambda _: np.random.default_rng(3).integers(0, 256, (60, 80), np.uint8).tobytes(),
        lambda _: np.tile(np.repeat(np.array([30, 200], np.uint8), CELL_PX), 2000).tobytes(),
        lambda folder: database(folder / "outbox.db"),
    ],
)
def test_nothing_is_found_where_nothing_is(clean, tmp_path):
    assert findings(clean(tmp_path)) == []


def test_no_two_pictures_are_the_same_and_neighbours_move():
    assert PICTURE.shape == (SIZE[1], SIZE[0], 3)
    assert len({picture(turn).tobytes() for turn in range(4)}) == 4
    assert np.abs(picture(1).astype(int) - PICTURE).mean() > 50
