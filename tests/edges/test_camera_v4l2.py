"""V4L2 over a fake of the few OpenCV calls that are made; the device nodes that every Linux has are met for real."""

import errno
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.core.errors import CameraError
from edged.core.shot import DAMAGED_IN_A_ROW, PictureFormat, Shot
from edged.edges.camera_v4l2 import V4l2Source
from edged.edges.camera_v4l2_choice import MAX_TEXT_BYTES
from edged.edges.camera_v4l2_device import Device, Format, Size
from tests.fakes import FakeClock, until

PATH = Path("/dev/v4l/by-id/usb-camera-video-index0")
CAPTURE, METADATA, CODEC = 0x04200001, 0x04A00000, 0x04204000  # V4L2_CAP_*, with streaming
NAMES = {
    cv2.CAP_PROP_FOURCC: "fourcc",
    cv2.CAP_PROP_FRAME_WIDTH: "width",
    cv2.CAP_PROP_FRAME_HEIGHT: "height",
    cv2.CAP_PROP_FPS: "fps",
    cv2.CAP_PROP_BUFFERSIZE: "buffers",
    cv2.CAP_PROP_CONVERT_RGB: "convert",
}
VGA = (640, 480)
JPEG = b"\xff\xd8" + bytes(range(200)) + b"\xff\xd9"


def device(capabilities=CAPTURE, driver="uvcvideo", **formats):
    """What `examine` finds: rates by format, all of 640 x 480, or sizes as ((width, height), rates)."""
    made = []
    for name, rates in formats.items():
        sizes = rates if rates and isinstance(rates[0], tuple) else [(VGA, rates)]
        made.append(Format(name.ljust(4), name, tuple(Size(*size, tuple(map(float, each))) for size, each in sizes)))
    return Device(driver, "Fake Camera", "usb", capabilities, tuple(made))


class FakeCapture:
    """cv2.VideoCapture over a V4L2 driver: takes its nearest rate, and answers False where something failed.

    As OpenCV does, it restarts with the rate that it remembers, whose denominator alone it knows.

    Args:
        rates: what the driver really does, by format.
        sizes: what the driver really delivers.
        rounds_up: the driver takes the next higher rate, as vivid does, and not the nearest.
        version: 5 gives raw YUYV in the picture's shape, 4 as (1, bytes).
    """

    def __init__(self, rates=None, sizes=None, opens=True, version=5, rounds_up=False):
        self.rates = rates or {"YUYV": (5, 10, 15, 30), "MJPG": (30,)}
        self.sizes = sizes
        self.opens = opens
        self.version = version
        self.rounds_up = rounds_up
        self.stamp_ms = 0.0
        self.grabs = []  # what the next grabs answer; then True
        self.pictures = []  # what the next retrieves answer: None for a damaged one
        self.calls = []
        self.settings = {"fourcc": next(iter(self.rates)), "width": 640, "height": 480, "fps": 30, "buffers": 4}
        self.settings["convert"] = 1
        self.remembered = 30
        self.written = None
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
                self.settings[name] = next(iter(self.rates))
                return True  # as OpenCV, which takes another one and says yes
        if name == "fps":
            assert value == int(value), "OpenCV rounds to whole numbers"
            self.take_rate(value)
            return True
        self.settings[name] = value
        if name in ("fourcc", "width", "height", "buffers"):
            self.take_rate(self.remembered)
        return True

    def take_rate(self, hz):
        rates = self.rates[self.settings["fourcc"]]
        got = min(rates, key=lambda rate: abs(1 / rate - 1 / hz))
        if self.rounds_up:
            got = min((rate for rate in rates if rate >= hz), default=max(rates))
        self.settings["fps"] = got
        self.remembered = {7.5: 15, 29.97: 30000, 12.5: 25}.get(got, got)

    def get(self, prop):
        if prop == cv2.CAP_PROP_POS_MSEC:
            return self.stamp_ms
        if prop == cv2.CAP_PROP_FOURCC:
            return float(int.from_bytes(self.settings["fourcc"].ljust(4).encode(), "little"))
        if self.sizes and prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            return float(self.sizes[prop == cv2.CAP_PROP_FRAME_HEIGHT])
        return float(self.settings[NAMES[prop]])

    def grab(self):
        return self.grabs.pop(0) if self.grabs else True

    def picture(self):
        """What the driver and OpenCV make of it: raw where it was asked for, else BGR."""
        width, height = self.sizes or VGA
        if self.settings["convert"]:
            return np.full((height, width, 3), 7, np.uint8)
        if self.settings["fourcc"] == "YUYV":
            return np.full((height, width, 2) if self.version == 5 else (1, height * width * 2), 7, np.uint8)
        return np.frombuffer(JPEG, np.uint8).reshape(1, -1)

    def retrieve(self, image=None):
        picture = self.pictures.pop(0) if self.pictures else self.picture()
        if picture is None:
            return False, None
        if image is None or picture.shape != image.shape:
            return True, picture.copy()
        image[:] = picture
        return True, image

    def release(self):
        self.released += 1


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def camera(clock):
    """Makes a source over a fake, opened. What the device says is what the fake does, unless told otherwise."""

    def make(fake, size=VGA, fps=10.0, says=None):
        says = device(**fake.rates) if says is None else says
        source = V4l2Source(PATH, *size, fps, clock, capture=fake, ask=lambda *_: says)
        source.format = source.open()
        return source

    return make


def shot(source, fill=0):
    return Shot(np.full(source.format.size_bytes, fill, np.uint8), 0, 0.0)


def raw(value, size_bytes=640 * 480 * 2):
    return np.full((1, size_bytes), value, np.uint8)


def jpeg(content):
    return np.frombuffer(content, np.uint8).reshape(1, -1)


# Opening: what is asked for, and what comes of it


def test_it_is_opened_by_its_path_through_v4l2_and_set_in_the_right_order(camera):
    fake = FakeCapture()
    assert camera(fake).format == PictureFormat(640, 480, "yuyv")
    assert fake.opened_with == (str(PATH), cv2.CAP_V4L2)
    assert [name for name, _ in fake.calls] == ["fourcc", "width", "height", "buffers", "fps", "convert"]
    assert fake.settings == {"fourcc": "YUYV", "width": 640, "height": 480, "fps": 10, "buffers": 3, "convert": 0}


@pytest.mark.parametrize("says", ["all", "nothing"])
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
def test_the_rate_is_the_nearest_that_is_not_lower(camera, says, fps, rates, chosen):
    fake = FakeCapture(rates={"YUYV": rates, "MJPG": (60,)})
    camera(fake, fps=fps, says=device() if says == "nothing" else None)
    assert (fake.settings["fourcc"], fake.settings["fps"]) == ("YUYV", chosen)


@pytest.mark.parametrize("rounds_up", [False, True])
@pytest.mark.parametrize(("fps", "rates", "chosen"), [(7.0, (7.5, 15, 30), 7.5), (12.0, (10, 12.5, 15, 25), 12.5)])
def test_a_rate_that_is_no_whole_number_is_neither_rounded_away_nor_lost(camera, rounds_up, fps, rates, chosen):
    fake = FakeCapture(rates={"YUYV": rates}, rounds_up=rounds_up)
    camera(fake, fps=fps)
    assert fake.settings["fps"] == chosen


def test_jpeg_is_taken_where_raw_pictures_come_too_slowly(camera):
    fake = FakeCapture(rates={"YUYV": (5,), "MJPG": (30,)})
    assert camera(fake).format == PictureFormat(640, 480, "jpeg")
    assert (fake.settings["fourcc"], fake.settings["convert"]) == ("MJPG", 0)


def test_jpeg_is_taken_where_raw_pictures_are_slower_than_the_camera_says(camera):
    fake = FakeCapture(rates={"YUYV": (5,), "MJPG": (30,)})
    camera(fake, says=device(YUYV=[30], MJPG=[30]))
    assert (fake.settings["fourcc"], fake.settings["fps"]) == ("MJPG", 30)


def test_the_best_of_what_is_too_slow_is_taken(camera):
    fake = FakeCapture(rates={"YUYV": (5,), "MJPG": (6,)})
    camera(fake, says=device(YUYV=[30], MJPG=[30]))
    assert fake.settings["fourcc"] == "YUYV"


@pytest.mark.parametrize("says", [device(), device(YUYV=[((1920, 1080), [10])], MJPG=[((1920, 1080), [30])])])
def test_jpeg_is_asked_first_where_raw_pictures_fill_the_bus(camera, says):
    fake = FakeCapture()
    camera(fake, size=(1920, 1080), says=says)
    assert fake.calls[0] == ("fourcc", cv2.VideoWriter.fourcc(*"MJPG"))
    assert fake.settings["fourcc"] == "MJPG"


def test_a_camera_without_jpeg_gives_what_it_has(camera):
    fake = FakeCapture(rates={"YUYV": (5,)})
    camera(fake, size=(1920, 1080), says=device())
    assert fake.settings["fourcc"] == "YUYV"


@pytest.mark.parametrize("says", [device(NV12=[30], GREY=[30]), device()])
def test_what_is_neither_yuyv_nor_jpeg_is_made_bgr_by_opencv(camera, says):
    fake = FakeCapture(rates={"NV12": (30,)})
    source = camera(fake, says=says)
    assert source.format == PictureFormat(640, 480, "bgr")
    assert (fake.settings["fourcc"], fake.settings["fps"], fake.settings["convert"]) == ("NV12", 30, 1)
    assert fake.settings["buffers"] == 3


def test_a_format_that_the_driver_does_not_take_after_all_gives_way(camera):
    fake = FakeCapture(rates={"MJPG": (30,)})
    assert camera(fake, says=device(YUYV=[30], MJPG=[((1280, 720), [30])])).format == PictureFormat(1280, 720, "jpeg")


def test_a_camera_without_a_format_that_can_be_read_says_what_it_has(clock):
    fake = FakeCapture()
    source = V4l2Source(PATH, *VGA, 10.0, clock, capture=fake, ask=lambda *_: device(H264=[30], HEVC=[30]))
    with pytest.raises(CameraError, match=r"none of its formats can be read: needs YUYV or MJPG, has H264, HEVC$"):
        source.open()
    assert fake.opened_with is None


def test_the_list_of_what_it_has_is_short(clock):
    says = device(**{f"F{number:03d}": [30] for number in range(100)})
    with pytest.raises(CameraError) as caught:
        V4l2Source(PATH, *VGA, 10.0, clock, capture=FakeCapture(), ask=lambda *_: says).open()
    assert len(caught.value.text.encode()) < MAX_TEXT_BYTES + 80


def test_another_size_than_asked_is_taken_and_told_once(camera, caplog):
    says = device(YUYV=[((160, 120), [30]), ((352, 288), [30])])
    source = camera(FakeCapture(sizes=(352, 288)), says=says)
    source.close()
    assert source.open() == PictureFormat(352, 288, "yuyv")
    assert [record.message for record in caplog.records] == [
        f"{PATH}: asked for 640 x 480 pixels, got 352 x 288; it has 160 x 120, 352 x 288"
    ]


def test_another_size_of_a_camera_that_does_not_tell_its_sizes(camera, caplog):
    camera(FakeCapture(sizes=(352, 288)), says=device())
    assert [record.message for record in caplog.records] == [f"{PATH}: asked for 640 x 480 pixels, got 352 x 288"]


def test_a_lower_rate_than_asked_is_told_once(camera, caplog):
    source = camera(FakeCapture(rates={"YUYV": (5,)}))
    source.close()
    source.open()
    assert [record.message for record in caplog.records] == [f"{PATH}: asked for 10 pictures a second, got 5"]


def test_a_camera_without_a_size_is_a_fault(camera):
    with pytest.raises(CameraError) as caught:
        camera(FakeCapture(sizes=(0, 0)))
    assert caught.value.reason == "camera_fault"


# Pictures


@pytest.mark.parametrize(
    ("age_s", "believed"), [(0.0, True), (4.9, True), (5.1, False), (-0.5, False), (1000.0, False)]
)
def test_the_drivers_time_is_believed_where_it_is_plausible(camera, clock, age_s, believed):
    fake = FakeCapture()
    source = camera(fake)
    stamp_s = clock.monotonic() - age_s
    fake.stamp_ms = stamp_s * 1000.0
    assert source.grab() == pytest.approx(stamp_s if believed else clock.monotonic())


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("fourcc", ["YUYV", "NV12"])
def test_pictures_are_written_into_the_given_buffer(camera, version, fourcc):
    source = camera(FakeCapture(rates={fourcc: (30,)}, version=version))
    out = shot(source)
    data = out.data
    for _ in range(2):
        data[:] = 0
        source.grab()
        source.retrieve(out)
        assert out.data is data
        assert out.size_bytes == source.format.size_bytes == data.size
        assert np.all(data == 7)


@pytest.mark.parametrize("version", [4, 5])
def test_nothing_as_large_as_a_picture_is_made_for_a_raw_one(camera, version):
    fake = FakeCapture(version=version)
    source = camera(fake)
    out = shot(source)
    fake.pictures = [fake.picture() for _ in range(4)]
    source.retrieve(out)  # learns what shape this OpenCV gives
    tracemalloc.start()
    try:
        for _ in range(3):
            source.grab()
            source.retrieve(out)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_a_jpeg_is_copied_as_it_is(camera):
    fake = FakeCapture(rates={"MJPG": (30,)})
    source = camera(fake)
    out = shot(source, fill=9)
    source.grab()
    fake.pictures = [jpeg(JPEG), jpeg(JPEG[:100])]
    source.retrieve(out)
    assert out.data[: out.size_bytes].tobytes() == JPEG
    assert np.all(out.data[out.size_bytes :] == 9)
    source.grab()
    source.retrieve(out)
    assert out.size_bytes == 100


DAMAGED = {
    "YUYV": [None, raw(1, 640 * 480 * 2 - 2), raw(1, 640 * 480 * 2 + 1280), raw(1, 4)],
    "MJPG": [None, jpeg(JPEG[2:]), jpeg(b"\xff\xd8"), jpeg(b"\x00" * 50), jpeg(JPEG + bytes(640 * 480 * 2))],
    "NV12": [None],
}


@pytest.mark.parametrize(
    ("fourcc", "damaged"), [(fourcc, picture) for fourcc, pictures in DAMAGED.items() for picture in pictures]
)
def test_a_damaged_picture_gives_way_to_the_next_one(camera, clock, fourcc, damaged):
    fake = FakeCapture(rates={fourcc: (30,)}, version=4)
    source = camera(fake)
    out = shot(source)
    out.t_s = source.grab()
    fake.pictures = [damaged, damaged]
    clock.advance(0.2)
    source.retrieve(out)
    expected = JPEG if fourcc == "MJPG" else bytes([7]) * source.format.size_bytes
    assert (out.t_s, out.data[: out.size_bytes].tobytes()) == (clock.monotonic(), expected)


@pytest.mark.parametrize("fourcc", DAMAGED)
def test_nothing_but_damaged_pictures_is_a_fault(camera, fourcc):
    fake = FakeCapture(rates={fourcc: (30,)}, version=4)
    source = camera(fake)
    source.grab()
    fake.pictures = [DAMAGED[fourcc][-1]] * DAMAGED_IN_A_ROW
    with pytest.raises(CameraError, match="5 damaged pictures in a row") as caught:
        source.retrieve(shot(source))
    assert caught.value.reason == "camera_fault"
    assert fake.pictures == []


def test_an_error_of_opencv_is_a_damaged_picture(camera):
    class Failing(FakeCapture):
        def retrieve(self, image=None):
            if self.pictures:
                self.pictures.pop()
                raise cv2.error("imdecode")
            return super().retrieve(image)

    fake = Failing(rates={"NV12": (30,)})
    source = camera(fake)
    fake.pictures = ["one"]
    out = shot(source)
    source.retrieve(out)
    assert out.size_bytes == source.format.size_bytes


def test_pictures_of_a_size_that_was_not_told_are_a_fault(camera):
    fake = FakeCapture(rates={"NV12": (30,)})
    source = camera(fake)
    source.grab()
    fake.pictures = [np.ones((240, 320, 3), np.uint8)]
    with pytest.raises(CameraError, match="another size") as caught:
        source.retrieve(shot(source))
    assert caught.value.reason == "camera_fault"


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


def test_a_csi_receiver_that_gives_no_picture_is_told_apart(camera):
    fake = FakeCapture()
    source = camera(fake, says=device(driver="unicam", YUYV=[30]))
    fake.grabs = [False]
    with pytest.raises(CameraError, match=r"CSI camera.*picamera2:0"):
        source.grab()


def test_closing_gives_the_device_back_once(camera):
    fake = FakeCapture()
    source = camera(fake)
    source.close()
    source.close()
    assert fake.released == 1


# What is wrong with it, and whether that changed


def refusing(code):
    def ask(*_):
        raise OSError(code, os.strerror(code))

    return ask


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (refusing(errno.ENOENT), "there is no camera"),
        (refusing(errno.EACCES), "group video"),
        (refusing(errno.EPERM), "group video"),
        (refusing(errno.EBUSY), "in use by another program"),
        (refusing(errno.ENODEV), "does not answer"),
        (refusing(errno.ENOTTY), ": no camera"),
        (lambda *_: device(METADATA), "gives no pictures"),
        (lambda *_: device(CODEC, driver="bcm2835-codec"), "codec of the board and no camera"),
        (lambda *_: device(YUYV=[30]), "a camera that does not open: it is in use"),
        (lambda *_: device(), "a camera that does not open: it is in use"),
    ],
)
def test_what_is_wrong_with_the_device_is_said(clock, ask, sentence):
    source = V4l2Source(PATH, 640, 480, 10.0, clock, capture=FakeCapture(opens=False), ask=ask)
    with pytest.raises(CameraError, match=sentence) as caught:
        source.open()
    assert str(PATH) in str(caught.value)
    assert "/dev" not in caught.value.text
    source.close()


@pytest.mark.parametrize(
    ("path", "sentence"), [("/dev/no-such-camera", "there is no camera"), ("/dev/null", ": no camera")]
)
def test_real_nodes_that_are_no_cameras(clock, path, sentence):
    with pytest.raises(CameraError, match=sentence):
        V4l2Source(Path(path), 640, 480, 10.0, clock).open()


@pytest.fixture
def failed(tmp_path, clock):
    """Makes a source whose opening has just failed, on a node below `tmp_path`."""

    def make(path):
        source = V4l2Source(path, 640, 480, 10.0, clock, capture=FakeCapture(), ask=refusing(errno.EIO))
        with pytest.raises(CameraError):
            source.open()
        return source

    return make


def test_a_camera_that_stays_away_did_not_come_back(failed, tmp_path):
    source = failed(tmp_path / "by-id")
    assert not source.came_back()
    (tmp_path / "by-id").symlink_to("video0")  # a link alone is no camera
    assert not source.came_back()


def test_a_camera_that_is_plugged_in_came_back(failed, tmp_path):
    (tmp_path / "by-id").symlink_to("video0")
    source = failed(tmp_path / "by-id")
    (tmp_path / "video0").touch()
    assert source.came_back()


def test_a_camera_that_is_still_there_did_not_come_back(failed, tmp_path):
    (tmp_path / "video0").touch()
    source = failed(tmp_path / "video0")
    assert not source.came_back()
    (tmp_path / "video0").read_bytes()
    assert not source.came_back()


def test_another_node_under_the_same_name_came_back(failed, tmp_path):
    (tmp_path / "video0").touch()
    (tmp_path / "by-id").symlink_to("video0")
    source = failed(tmp_path / "by-id")
    (tmp_path / "video1").touch()
    (tmp_path / "by-id").unlink()
    (tmp_path / "by-id").symlink_to("video1")
    assert source.came_back()


def test_a_node_that_got_its_permissions_came_back_and_is_asked_about_anew(failed, tmp_path):
    node = tmp_path / "video0"
    node.touch(mode=0o600)
    source = failed(node)
    before_ns = node.stat().st_ctime_ns
    until(lambda: node.chmod(0o660) or node.stat().st_ctime_ns != before_ns)  # a file system's clock may be coarse
    assert source.came_back()
    with pytest.raises(CameraError):
        source.open()
    assert not source.came_back()


def test_a_camera_that_goes_away_is_noticed_too(failed, tmp_path):
    (tmp_path / "video0").touch()
    source = failed(tmp_path / "video0")
    (tmp_path / "video0").unlink()
    assert source.came_back()


def test_asking_never_raises(failed):
    assert failed(Path("/dev/\0")).came_back() is False


@pytest.mark.parametrize(("given", "expected"), [(None, "2"), ("7", "7")])
def test_opencv_is_told_to_wait_two_seconds_unless_somebody_said_otherwise(given, expected):
    name = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
    environment = {key: value for key, value in os.environ.items() if key != name}
    if given:
        environment[name] = given
    code = f"import os, edged.edges.camera_v4l2; print(os.environ['{name}'])"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected
