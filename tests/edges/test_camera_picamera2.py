"""CSI cameras over a faithful fake of picamera2. None of this was run on a board: what picamera2 and libcamera really
do there is read from their sources and manuals, and told in the fake.
"""

import gc
import logging
import os
import subprocess
import sys
import tracemalloc

import cv2
import numpy as np
import pytest

from edged.core.errors import CameraError
from edged.core.planes import copy_planes
from edged.core.sensor_mode import choose_mode
from edged.core.shot import PictureFormat, Shot
from edged.edges import camera_picamera2
from edged.edges.camera_picamera2 import Picamera2Source, csi_cameras, load_picamera2
from tests import picamera2_fake
from tests.fakes import FakeClock
from tests.picamera2_fake import IMX219, IMX708, Sensor, i420, library, mode

SIZE = (66, 48)  # no multiple of what an image processor likes
USB = "/base/scb/pcie@7d500000,0/usb@0,0-1.2:1.0-046d:0825"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def sensor():
    return Sensor()


@pytest.fixture
def opened(sensor, clock):
    """An opened source, and the sensor that it looks through."""
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    source.open()
    yield source
    source.close()
    assert (sensor.lent, sensor.opened - sensor.closed) == (0, 0)


def planes(seed, size=SIZE):
    picture = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return i420(picture)


def shot(size=SIZE):
    return Shot(np.zeros(PictureFormat(*size, "yuv420").size_bytes, np.uint8), 0, 0.0)


def trouble(source_or_call):
    """What the error says to the world, to the journal, and its reason."""
    with pytest.raises(CameraError) as caught:
        source_or_call()
    error = caught.value
    assert "picamera2:" not in error.text
    assert "/" not in error.text
    return error


def test_one_small_stream_is_asked_for_of_the_whole_view(sensor, opened):
    (configuration,) = sensor.configurations
    assert configuration["main"]["format"] == "YUV420"
    assert configuration["main"]["size"] == SIZE
    assert configuration["raw"] is None, "a raw stream costs megabytes of the little memory that cameras have"
    assert configuration["controls"]["FrameDurationLimits"] == (100_000, 100_000)
    assert configuration["sensor"] == {"output_size": (1640, 1232), "bit_depth": 10}


def test_it_says_what_its_pictures_are(sensor, clock):
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    assert source.open() == PictureFormat(*SIZE, "yuv420")
    source.close()


@pytest.mark.parametrize("align_px", [2, 64, 128])
def test_a_picture_comes_without_the_padding_of_its_rows(sensor, clock, align_px):
    sensor.align_px = align_px
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    source.open()
    out = shot()
    for seed in range(3):
        sensor.deliver(planes(seed), clock.monotonic())
        assert source.grab() == clock.monotonic()
        source.retrieve(out)
        assert out.size_bytes == out.data.size
        np.testing.assert_array_equal(out.data, planes(seed))
    source.close()


def test_opencv_reads_what_comes_as_i420(sensor, opened, clock):
    picture = np.full((SIZE[1], SIZE[0], 3), (40, 160, 220), np.uint8)
    sensor.deliver(i420(picture), clock.monotonic())
    opened.grab()
    out = shot()
    opened.retrieve(out)
    decoded = cv2.cvtColor(out.data.reshape(SIZE[1] * 3 // 2, SIZE[0]), cv2.COLOR_YUV2BGR_I420)
    assert np.abs(decoded.astype(int) - picture).max() <= 3


def test_nothing_as_large_as_a_picture_is_made_on_the_way(clock):
    size = (642, 480)
    sensor = Sensor()
    source = Picamera2Source(0, *size, 10.0, clock, load=lambda: library(sensor))
    source.open()
    out = shot(size)
    sensor.deliver(planes(1, size), clock.monotonic())
    source.grab()
    tracemalloc.start()
    try:
        source.retrieve(out)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    source.close()
    assert peak_bytes < out.data.size / 20


@pytest.mark.parametrize(("asked", "got"), [((641, 480), (640, 480)), ((640, 481), (640, 480)), ((65, 49), (64, 48))])
def test_a_size_is_made_even_and_that_is_said_once(sensor, clock, caplog, asked, got):
    source = Picamera2Source(0, *asked, 10.0, clock, load=lambda: library(sensor))
    with caplog.at_level(logging.WARNING, "edged.camera"):
        for _ in range(3):
            assert source.open() == PictureFormat(*got, "yuv420")
            source.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"picamera2:0: asked for {asked[0]} x {asked[1]} pixels, got {got[0]} x {got[1]}"
    ]


def test_another_size_of_the_image_processor_is_taken(sensor, clock):
    sensor.sizes = lambda _: (64, 32)
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    assert source.open() == PictureFormat(64, 32, "yuv420")
    sensor.deliver(planes(5, (64, 32)), clock.monotonic())
    source.grab()
    out = shot((64, 32))
    source.retrieve(out)
    np.testing.assert_array_equal(out.data, planes(5, (64, 32)))
    source.close()


@pytest.mark.parametrize(("fps", "duration_us"), [(30, 33_333), (10, 100_000), (5, 200_000), (0.5, 200_000)])
def test_the_rate_is_never_so_low_that_everything_smears(sensor, clock, fps, duration_us):
    source = Picamera2Source(0, *SIZE, fps, clock, load=lambda: library(sensor))
    source.open()
    source.close()
    assert sensor.configurations[0]["controls"]["FrameDurationLimits"] == (duration_us, duration_us)


def test_a_camera_that_takes_no_rate_is_asked_for_none(sensor, clock):
    sensor.controls = set()
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    source.open()
    source.close()
    assert not sensor.configurations[0]["controls"]


@pytest.mark.parametrize(
    ("age_s", "expected_age_s"), [(0.0, 0.0), (0.25, 0.25), (5.0, 5.0), (5.5, 0.0), (-0.5, 0.0), (1000.0, 0.0)]
)
def test_the_sensors_own_time_is_believed_while_it_is_recent(sensor, opened, clock, age_s, expected_age_s):
    sensor.deliver(planes(1), clock.monotonic() - age_s)
    assert opened.grab() == pytest.approx(clock.monotonic() - expected_age_s, abs=1e-6)


def test_a_picture_without_a_time_is_taken_now(sensor, opened, clock):
    sensor.deliver(planes(1), 0.0)
    sensor.camera.completed[0].request.metadata = {}
    assert opened.grab() == clock.monotonic()


def test_the_newest_picture_wins_and_every_request_goes_back(sensor, opened, clock):
    """Many pictures, few of them looked at: libcamera never lacks a buffer, and we never hold two."""
    out = shot()
    for turn in range(200):
        for extra in range(turn % 3 + 1):
            sensor.deliver(planes(10 * turn + extra), clock.monotonic())
        opened.grab()
        if turn % 5 == 0:
            opened.retrieve(out)
            np.testing.assert_array_equal(out.data, planes(10 * turn + turn % 3))
            assert sensor.lent == 0, "a picture that was copied needs its buffer no more"
    assert (sensor.starved, sensor.most_lent) == (0, 1)


def test_no_picture_is_one_sentence_about_the_cable(sensor, opened):
    error = trouble(opened.grab)
    assert "frontend has timed out" in error.text
    assert "cable" in error.text
    assert error.reason == "camera_lost"
    assert str(error).startswith("picamera2:0")
    assert sensor.timeouts_s == [camera_picamera2.FIRST_WAIT_S]


def test_a_camera_that_delivered_is_waited_for_less_long(sensor, opened, clock):
    sensor.deliver(planes(1), clock.monotonic())
    opened.grab()
    trouble(opened.grab)
    assert sensor.timeouts_s[-1] == camera_picamera2.WAIT_S < 5.0, "shorter than what counts as a stall"
    assert sensor.lent == 0


def test_a_picture_that_comes_after_the_time_out_is_given_back(sensor, clock):
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    source.open()
    trouble(source.grab)
    sensor.deliver(planes(1), clock.monotonic())
    assert sensor.lent == 1, "picamera2 answers the request that nobody waits for any more"
    source.close()
    assert (sensor.lent, sensor.closed) == (0, 1)


def test_a_second_try_takes_the_picture_that_was_late(sensor, opened, clock):
    trouble(opened.grab)
    sensor.deliver(planes(7), clock.monotonic())
    opened.grab()
    out = shot()
    opened.retrieve(out)
    np.testing.assert_array_equal(out.data, planes(7))


def test_a_job_that_never_ends_does_not_keep_the_camera(sensor, clock):
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    source.open()
    trouble(source.grab)
    camera = sensor.camera
    source.close()
    assert camera.jobs == []
    assert sensor.closed == 1


@pytest.mark.parametrize(
    ("where", "message"),
    [("job_error", "cannot be read"), ("metadata_error", "cannot be read"), ("map_error", "cannot be read")],
)
def test_whatever_fails_on_the_way_is_trouble_and_the_request_goes_back(sensor, clock, where, message):
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    source.open()
    sensor.deliver(planes(1), clock.monotonic())
    setattr(sensor, where, RuntimeError("failed to find buffer in /dev/dma_heap"))

    def look():
        source.grab()
        source.retrieve(shot())

    error = trouble(look)
    assert message in error.text
    assert "failed to find buffer" in str(error), "the journal hears what the library said"
    source.close()
    assert (sensor.lent, sensor.closed) == (0, 1)


def test_it_can_be_opened_again_and_the_modes_are_read_once(sensor, clock):
    reads = []
    sensor.modes = IMX219
    camera_library = library(sensor)

    def modes(self):
        reads.append(1)
        return IMX219

    camera_library.Picamera2.sensor_modes = property(modes)
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: camera_library)
    for turn in range(3):
        source.open()
        sensor.deliver(planes(turn), clock.monotonic())
        source.grab()
        source.close()
    assert (sensor.opened, sensor.closed, sensor.lent) == (3, 3, 0)
    assert reads == [1], "picamera2 configures the camera once a mode to tell them"


def test_closing_is_free_of_surprises(sensor, clock):
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    source.close()
    source.open()
    camera = sensor.camera
    original, camera.close = camera.close, lambda: 1 / 0
    source.close()
    source.close()
    camera.close = original


def test_it_never_says_that_it_came_back(sensor, clock):
    assert Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor)).came_back() is False


def missing():
    raise ModuleNotFoundError("No module named 'libcamera'", name="libcamera")


def broken():
    raise ValueError("numpy.dtype size changed, may indicate binary incompatibility in /usr/lib/python3")


@pytest.mark.parametrize(("load", "words"), [(missing, "no module libcamera"), (broken, "cannot be imported")])
def test_a_missing_or_broken_picamera2_says_what_to_install_and_how_to_see_it(clock, load, words):
    error = trouble(Picamera2Source(0, *SIZE, 10.0, clock, load=load).open)
    assert words in error.text
    assert "python3-picamera2" in error.text
    assert "--system-site-packages" in error.text


@pytest.mark.parametrize(
    ("sensors", "index", "words"),
    [
        ([], 0, "there is no CSI camera: check its ribbon cable"),
        ([Sensor()], 1, "there is no CSI camera 1: there is 0 (imx219)"),
        ([Sensor(), Sensor("imx708")], 2, "there is no CSI camera 2: there is 0 (imx219), 1 (imx708)"),
        ([Sensor(), Sensor("HD Webcam", USB)], 1, "camera 1 is a USB camera: name it as v4l2:PATH"),
        ([Sensor("HD Webcam", USB)], 1, "there is no CSI camera: "),
    ],
)
def test_a_camera_that_is_not_there_is_told_from_those_that_are(clock, sensors, index, words):
    error = trouble(Picamera2Source(index, *SIZE, 10.0, clock, load=lambda: library(*sensors)).open)
    assert words in error.text
    assert all(sensor.opened == 0 for sensor in sensors)


def test_libcamera_that_does_not_start_is_trouble(clock):
    camera_library = library()
    camera_library.Picamera2.global_camera_info = lambda: 1 / 0
    assert (
        "libcamera does not start"
        in trouble(Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: camera_library).open).text
    )


def test_a_busy_camera_is_called_busy_and_trying_for_days_costs_no_descriptor(sensor, clock):
    sensor.state = picamera2_fake.BUSY
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    texts = set()

    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = count()
    for _ in range(50):
        texts.add(trouble(source.open).text)
        source.close()
    assert texts == {"the camera is in use by another program: end that program"}
    assert count() == before
    sensor.state = picamera2_fake.RUNNING
    source.open()
    source.close()
    assert count() == before


def test_a_camera_that_does_not_start_is_trouble_and_is_given_back(sensor, clock):
    sensor.starts = False
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    assert "does not start" in trouble(source.open).text
    source.close()
    assert sensor.closed == 1


def test_another_format_than_asked_for_is_a_fault(sensor, clock):
    sensor.formats = ["YUYV"]
    source = Picamera2Source(0, *SIZE, 10.0, clock, load=lambda: library(sensor))
    error = trouble(source.open)
    assert "gives YUYV pictures" in error.text
    assert error.reason == "camera_fault"
    source.close()


def test_the_end_of_the_process_waits_for_no_driver():
    """picamera2 asks to be closed at exit; where the driver hangs, that would hang too."""
    code = """if True:
        import atexit
        from edged.edges.camera_picamera2 import Picamera2Source
        from tests.fakes import FakeClock
        from tests.picamera2_fake import Sensor, library
        sensor = Sensor()
        source = Picamera2Source(0, 64, 48, 10.0, FakeClock(), load=lambda: library(sensor))
        source.open()
        atexit._run_exitfuncs()
        print(sensor.opened, sensor.closed)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "0"]


def test_cameras_are_listed_by_model_without_those_on_usb():
    sensors = [Sensor(), Sensor("imx708"), Sensor("HD Webcam", USB)]
    assert csi_cameras(lambda: library(*sensors)) == [(0, "imx219"), (1, "imx708")]
    assert csi_cameras(lambda: library()) == []
    assert csi_cameras(missing) == []
    assert csi_cameras(broken) == []


def test_picamera2_is_not_imported_before_it_is_asked_for():
    code = "import sys, edged.edges.camera_picamera2; print('picamera2' in sys.modules, 'libcamera' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]


def test_where_picamera2_is_missing_the_default_says_so(clock):
    try:
        load_picamera2()
    except ImportError:
        pass
    else:
        pytest.skip("picamera2 is installed here")
    assert "python3-picamera2" in trouble(Picamera2Source(0, *SIZE, 10.0, clock).open).text
    assert csi_cameras() == []


WEBCAM = [{"format": "YUYV"}]
OV5647 = [
    mode((640, 480), (16, 0, 2560, 1920), 58.92),
    mode((1296, 972), (0, 0, 2592, 1944), 43.25),
    mode((1920, 1080), (348, 434, 1928, 1080), 30.62),
    mode((2592, 1944), (0, 0, 2592, 1944), 15.63),
]


@pytest.mark.parametrize(
    ("modes", "size", "rate_hz", "expected"),
    [
        (IMX219, (640, 480), 10, ((1640, 1232), 10)),
        (IMX219, (640, 480), 60, ((1640, 1232), 8)),
        (IMX219, (640, 480), 200, ((1640, 1232), 8)),
        (IMX219, (1920, 1080), 10, ((3280, 2464), 10)),
        (IMX219, (1920, 1080), 30, ((1640, 1232), 10)),
        (IMX708, (640, 480), 10, ((2304, 1296), 10)),
        (IMX708, (4608, 2592), 10, ((4608, 2592), 10)),
        (OV5647, (640, 480), 10, ((640, 480), 10)),
        (OV5647, (800, 600), 10, ((1296, 972), 10)),
    ],
)
def test_the_mode_sees_the_whole_view_fast_enough_and_large_enough(modes, size, rate_hz, expected):
    chosen = choose_mode(modes, size, rate_hz)
    assert (chosen["output_size"], chosen["bit_depth"]) == expected


def test_a_sensor_that_tells_no_modes_is_left_alone():
    assert choose_mode(WEBCAM, (640, 480), 10) == {}


def test_planes_are_cut_out_of_padded_rows():
    out = np.zeros(6 * 4 * 3 // 2 + 5, np.uint8)
    buffer = np.full(8 * 4 * 3 // 2, 99, np.uint8)
    buffer[:32].reshape(4, 8)[:, :6] = 1
    buffer[32:40].reshape(2, 4)[:, :3] = 2
    buffer[40:48].reshape(2, 4)[:, :3] = 3
    assert copy_planes(buffer, out, (6, 4), 8) == 36
    assert out.tolist() == [1] * 24 + [2] * 6 + [3] * 6 + [0] * 5


def manners(sensor):
    camera = library(sensor).Picamera2(0)
    camera.configure(camera.create_video_configuration(main={"size": SIZE, "format": "YUV420"}, buffer_count=3))
    camera.start()
    sensor.deliver(planes(1), 1000.0)
    return camera, camera.capture_request()


def test_the_fake_has_the_manners_of_the_real_one(sensor):
    camera, request = manners(sensor)
    with picamera2_fake.MappedArray(request, "main") as mapped:
        assert mapped.array.shape == (SIZE[1] * 3 // 2, 128)
        held = mapped.array[:2]
    with pytest.raises(AttributeError):
        _ = mapped.array
    request.release()
    assert held[0, 0] == picamera2_fake.OVERWRITTEN, "what is held too long is another picture"
    with pytest.raises(RuntimeError, match="negative ref_count"):
        request.release()
    with pytest.raises(KeyError):
        picamera2_fake.MappedArray(request, "main")
    with pytest.raises(AssertionError):
        request.get_metadata()
    with pytest.raises(RuntimeError, match="must be stopped"):
        camera.configure({})
    with pytest.raises(BufferError):
        camera.close()
    del held, mapped
    camera._free_memory()


def test_the_fake_starves_when_requests_are_kept(sensor):
    camera, request = manners(sensor)
    kept = [request]
    for _ in range(2):
        assert sensor.deliver(planes(2), 1000.0)
        kept.append(camera.capture_request())
    assert not sensor.deliver(planes(3), 1000.0)
    assert (sensor.starved, sensor.lent) == (1, 3)
    for one in kept:
        one.release()
    assert sensor.deliver(planes(3), 1000.0)
    camera.close()
