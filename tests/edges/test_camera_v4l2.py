"""V4L2 over a fake of the few OpenCV calls that are made; the device nodes that every Linux has are met for real."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.core.errors import CameraError
from edged.core.types import Frame
from edged.edges.camera_v4l2 import V4l2Source, query_capabilities
from tests.conftest import EMULATED
from tests.fakes import FakeClock
from tests.scenes import flat

PATH = Path("/dev/v4l/by-id/usb-camera-video-index0")
CAPTURE, METADATA = 0x04200001, 0x04A00000  # V4L2_CAP_VIDEO_CAPTURE and V4L2_CAP_META_CAPTURE, with streaming
NAMES = {
    cv2.CAP_PROP_FOURCC: "fourcc",
    cv2.CAP_PROP_FRAME_WIDTH: "width",
    cv2.CAP_PROP_FRAME_HEIGHT: "height",
    cv2.CAP_PROP_FPS: "fps",
    cv2.CAP_PROP_BUFFERSIZE: "buffers",
}


class FakeCapture:
    """cv2.VideoCapture over a V4L2 driver: takes the nearest rate, and answers False where something failed."""

    def __init__(self, rates=None, sizes=None, opens=True):
        self.rates = rates or {"YUYV": (5, 10, 15, 30), "MJPG": (30,)}
        self.sizes = sizes
        self.opens = opens
        self.stamp_ms = 0.0
        self.grabs = []  # what the next grabs answer; then True
        self.pictures = []  # what the next retrieves answer: None for a damaged one
        self.copies = False
        self.calls = []
        self.settings = {"fourcc": "YUYV", "width": 640, "height": 480, "fps": 30, "buffers": 4}
        self.released = 0
        self.opened_with = None

    def __call__(self, *arguments):
        self.opened_with = arguments
        return self

    def isOpened(self):  # noqa: N802
        return self.opens

    def set(self, prop, value):
        name = NAMES[prop]
        self.calls.append((name, value))
        if name == "fourcc":
            value = int(value).to_bytes(4, "little").decode()
            if value not in self.rates:
                return False
        if name == "fps":
            assert value == int(value), "OpenCV rounds to whole numbers"
            value = min(self.rates[self.settings["fourcc"]], key=lambda rate: abs(rate - value))
        self.settings[name] = value
        return True

    def get(self, prop):
        if prop == cv2.CAP_PROP_POS_MSEC:
            return self.stamp_ms
        if self.sizes and prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            return float(self.sizes[prop == cv2.CAP_PROP_FRAME_HEIGHT])
        return float(self.settings[NAMES[prop]])

    def grab(self):
        return self.grabs.pop(0) if self.grabs else True

    def retrieve(self, image=None):
        picture = self.pictures.pop(0) if self.pictures else flat(7, (640, 480))
        if picture is None:
            return False, None
        if self.copies or picture.shape != image.shape:
            return True, picture
        image[:] = picture
        return True, image

    def release(self):
        self.released += 1


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def camera(clock):
    """Makes a source over a fake, opened."""

    def make(fake, size=(640, 480), fps=10.0):
        source = V4l2Source(PATH, *size, fps, clock, capture=fake, capabilities=lambda _: CAPTURE)
        source.open()
        return source

    return make


def frame():
    return Frame(np.zeros((480, 640, 3), np.uint8), 0.0)


def test_it_is_opened_by_its_path_through_v4l2_and_set_in_the_right_order(camera):
    fake = FakeCapture()
    camera(fake)
    assert fake.opened_with == (str(PATH), cv2.CAP_V4L2)
    assert [name for name, _ in fake.calls] == ["fourcc", "width", "height", "fps", "buffers"]
    assert fake.settings == {"fourcc": "YUYV", "width": 640, "height": 480, "fps": 10, "buffers": 2}


@pytest.mark.parametrize(
    ("fps", "rates", "chosen"),
    [
        (10.0, (5, 10, 30), 10),
        (10.0, (5, 9, 15, 30), 15),  # 9 is nearer and too low
        (0.5, (5, 30), 5),
        (12.5, (10, 30), 30),
        (30.0, (15, 29.97), 29.97),
    ],
)
def test_the_rate_is_the_nearest_that_is_not_lower(camera, fps, rates, chosen):
    fake = FakeCapture(rates={"YUYV": rates, "MJPG": (60,)})
    camera(fake, fps=fps)
    assert (fake.settings["fourcc"], fake.settings["fps"]) == ("YUYV", chosen)


def test_jpeg_is_taken_where_raw_pictures_come_too_slowly(camera):
    fake = FakeCapture(rates={"YUYV": (5,), "MJPG": (30,)})
    camera(fake)
    assert fake.settings["fourcc"] == "MJPG"


def test_jpeg_is_asked_first_where_raw_pictures_fill_the_bus(camera):
    fake = FakeCapture()
    camera(fake, size=(1920, 1080))
    assert fake.calls[0] == ("fourcc", cv2.VideoWriter.fourcc(*"MJPG"))
    assert fake.settings["fourcc"] == "MJPG"


def test_a_camera_without_jpeg_gives_what_it_has(camera):
    fake = FakeCapture(rates={"YUYV": (5,)})
    camera(fake, size=(1920, 1080))
    assert fake.settings["fourcc"] == "YUYV"


def test_another_size_than_asked_is_taken_and_told_once(camera, caplog):
    source = camera(FakeCapture(sizes=(352, 288)))
    source.close()
    assert source.open() == (352, 288)
    assert [record.message for record in caplog.records] == [f"{PATH}: asked for 640 x 480 pixels, got 352 x 288"]


def test_a_camera_without_a_size_is_a_fault(camera):
    with pytest.raises(CameraError) as caught:
        camera(FakeCapture(sizes=(0, 0)))
    assert caught.value.reason == "camera_fault"


@pytest.mark.parametrize(
    ("age_s", "believed"), [(0.0, True), (4.9, True), (5.1, False), (-0.5, False), (1000.0, False)]
)
def test_the_drivers_time_is_believed_where_it_is_plausible(camera, clock, age_s, believed):
    fake = FakeCapture()
    source = camera(fake)
    stamp_s = clock.monotonic() - age_s
    fake.stamp_ms = stamp_s * 1000.0
    assert source.grab() == pytest.approx(stamp_s if believed else clock.monotonic())


@pytest.mark.parametrize("copies", [False, True])
def test_pictures_are_in_the_given_buffer_even_where_opencv_made_its_own(camera, copies):
    fake = FakeCapture()
    fake.copies = copies
    source = camera(fake)
    out = frame()
    pixels = out.pixels
    source.grab()
    source.retrieve(out)
    assert out.pixels is pixels
    assert np.all(pixels == 7)


def test_a_damaged_picture_gives_way_to_the_next_one(camera, clock):
    fake = FakeCapture()
    source = camera(fake)
    out = frame()
    out.t_s = source.grab()
    fake.pictures = [None, None, flat(9, (640, 480))]
    clock.advance(0.2)
    source.retrieve(out)
    assert (out.t_s, out.pixels[0, 0, 0]) == (clock.monotonic(), 9)


def test_nothing_but_damaged_pictures_is_a_fault(camera):
    fake = FakeCapture()
    source = camera(fake)
    source.grab()
    fake.pictures = [None] * 20
    with pytest.raises(CameraError, match="cannot be decoded") as caught:
        source.retrieve(frame())
    assert caught.value.reason == "camera_fault"


def test_pictures_of_a_size_that_was_not_told_are_a_fault(camera):
    fake = FakeCapture()
    source = camera(fake)
    source.grab()
    fake.pictures = [flat(1, (320, 240))]
    with pytest.raises(CameraError, match="another size"):
        source.retrieve(frame())


def test_a_camera_that_stops_says_so(camera):
    fake = FakeCapture()
    source = camera(fake)
    source.grab()
    fake.grabs = [False]
    with pytest.raises(CameraError, match="stopped delivering pictures"):
        source.grab()


def test_a_camera_that_never_began_says_so_after_each_opening(camera):
    fake = FakeCapture()
    source = camera(fake)
    source.grab()
    source.close()
    source.open()
    fake.grabs = [False]
    with pytest.raises(CameraError, match="opened but delivers no picture"):
        source.grab()


def test_closing_gives_the_device_back_once(camera):
    fake = FakeCapture()
    source = camera(fake)
    source.close()
    source.close()
    assert fake.released == 1


def refusing(code):
    def capabilities(_):
        raise OSError(code, os.strerror(code))

    return capabilities


@pytest.mark.parametrize(
    ("capabilities", "sentence"),
    [
        (refusing(errno.ENOENT), "there is no camera"),
        (refusing(errno.EACCES), "group video"),
        (refusing(errno.EPERM), "group video"),
        (refusing(errno.EBUSY), "in use by another program"),
        (refusing(errno.ENODEV), "does not answer"),
        (refusing(errno.ENOTTY), ": no camera"),
        (lambda _: METADATA, "gives no pictures"),
        (lambda _: CAPTURE, "a camera that does not open: it is in use"),
    ],
)
def test_what_is_wrong_with_the_device_is_said(clock, capabilities, sentence):
    source = V4l2Source(PATH, 640, 480, 10.0, clock, capture=FakeCapture(opens=False), capabilities=capabilities)
    with pytest.raises(CameraError, match=sentence) as caught:
        source.open()
    assert str(PATH) in str(caught.value)
    source.close()


@pytest.mark.parametrize(
    ("path", "sentence"), [("/dev/no-such-camera", "there is no camera"), ("/dev/null", ": no camera")]
)
def test_real_nodes_that_are_no_cameras(clock, path, sentence):
    with pytest.raises(CameraError, match=sentence):
        V4l2Source(Path(path), 640, 480, 10.0, clock).open()


@pytest.mark.skipif(EMULATED, reason="QEMU's user emulation answers a V4L2 ioctl on a file with ENOSYS")
def test_a_file_is_no_camera(clock, tmp_path):
    path = tmp_path / "video0"
    path.write_text("no camera")
    with pytest.raises(OSError, match="ioctl") as caught:
        query_capabilities(path)
    assert caught.value.errno == errno.ENOTTY


@pytest.mark.parametrize(("given", "expected"), [(None, "2"), ("7", "7")])
def test_opencv_is_told_to_wait_two_seconds_unless_somebody_said_otherwise(given, expected):
    name = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
    environment = {key: value for key, value in os.environ.items() if key != name}
    if given:
        environment[name] = given
    code = f"import os, edged.edges.camera_v4l2; print(os.environ['{name}'])"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected
