"""Clips and folders as a camera: whose time, which pictures, and what is said where there are none."""

import tracemalloc

import cv2
import pytest

from edged.core.errors import CameraError
from edged.core.shot import PictureFormat
from edged.core.types import End, Frame
from edged.edges.camera import CaptureCamera
from edged.edges.camera_file import FileSource, picture_px
from tests.fakes import FakeClock
from tests.scenes import SIZE, flat, write_clip, write_picture
from tests.shots import empty


class ClockStop:
    """Never set; waiting for it lets the clock go on."""

    def __init__(self, clock):
        self._clock = clock
        self.waits = []

    def is_set(self):
        return False

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self._clock.advance(timeout)
        return False


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def source(clock):
    """Makes a source with this test's clock."""

    def make(path, fps=10.0, pace="max", at_end="stop"):
        return FileSource(path, fps, pace, at_end, clock, ClockStop(clock))

    return make


@pytest.fixture
def clip(tmp_path):
    """Twenty pictures at 25 a second, the grey level of each ten times its index."""
    return write_clip(tmp_path / "clip.avi", (flat(10 * index) for index in range(20)), 25.0)


def played(source, most=1000):
    """(t_s, level) of each picture up to the end; the source is left open."""
    opened = source.open()
    shot = empty(opened.width_px, opened.height_px)
    pictures = []
    while len(pictures) < most and (t_s := source.grab()) is not None:
        source.retrieve(shot)
        assert shot.size_bytes == shot.data.size
        assert shot.data.min() == shot.data.max()
        pictures.append((t_s, int(shot.data[0])))
    return pictures


def levels(pictures):
    return [level for _, level in pictures]


def test_a_clip_gives_every_picture_once_at_its_own_time(source, clip, clock):
    t0_s = clock.monotonic()
    assert played(source(clip)) == [(t0_s + index / 25.0, 10 * index) for index in range(20)]


def test_the_size_is_the_clips(source, clip):
    assert source(clip).open() == PictureFormat(*SIZE, "bgr")


def test_two_runs_are_the_same(clip):
    runs = []
    for _ in range(2):
        clock = FakeClock()
        runs.append(played(FileSource(clip, 10.0, "max", "stop", clock, ClockStop(clock))))
    assert runs[0] == runs[1]


def test_a_loop_begins_again_and_time_goes_on(source, clip, clock):
    t0_s = clock.monotonic()
    pictures = played(source(clip, at_end="loop"), most=50)
    assert pictures == [(t0_s + index / 25.0, 10 * (index % 20)) for index in range(50)]


def test_realtime_waits_for_each_pictures_time(source, clip, clock):
    t0_s = clock.monotonic()
    playing = source(clip, pace="realtime")
    playing.open()
    for index in range(20):
        t_s = playing.grab()
        assert t_s == pytest.approx(t0_s + index / 25.0)
        assert clock.monotonic() == pytest.approx(t_s)
    assert playing.grab() is None


def test_realtime_skips_what_is_late(source, clip, clock):
    t0_s = clock.monotonic()
    playing = source(clip, pace="realtime")
    opened = playing.open()
    shot = empty(opened.width_px, opened.height_px)
    assert playing.grab() == t0_s
    clock.advance(10.5 / 25.0)
    assert playing.grab() == pytest.approx(t0_s + 10 / 25.0)
    playing.retrieve(shot)
    assert shot.data[0] == 100


def test_realtime_never_lags_however_late_it_is(source, clip, clock):
    playing = source(clip, pace="realtime", at_end="loop")
    playing.open()
    playing.grab()
    clock.advance(1e6)  # a million seconds are not skipped picture by picture
    assert playing.grab() == pytest.approx(clock.monotonic(), abs=1 / 25.0)


def test_time_never_goes_back_over_a_re_opening(source, clip, clock):
    playing = source(clip)
    first = played(playing)
    playing.close()
    second = played(playing)
    assert second[0][0] == pytest.approx(first[-1][0] + 1 / 25.0)
    playing.close()
    clock.advance(100.0)
    assert played(playing)[0][0] == clock.monotonic()


def test_a_folder_is_played_by_name_at_the_asked_rate(source, tmp_path, clock):
    for name, level in (("b.png", 20), ("a.png", 10), ("c.bmp", 30)):
        write_picture(tmp_path / name, flat(level))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"no picture either")
    t0_s = clock.monotonic()
    assert played(source(tmp_path, fps=4.0)) == [(t0_s, 10), (t0_s + 0.25, 20), (t0_s + 0.5, 30)]


def test_a_picture_of_another_size_is_brought_to_the_firsts(source, tmp_path):
    write_picture(tmp_path / "a.png", flat(10))
    write_picture(tmp_path / "b.png", flat(20, (128, 32)))
    write_picture(tmp_path / "c.png", flat(30)[:, :, 0])  # grey
    assert levels(played(source(tmp_path))) == [10, 20, 30]


def test_an_unreadable_picture_is_left_out_and_told_once(source, tmp_path, caplog):
    write_picture(tmp_path / "b.png", flat(20))
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "c.png").write_bytes(b"no picture")
    assert levels(played(source(tmp_path, at_end="loop"), most=5)) == [20] * 5
    assert [record.message.split(" ")[0] for record in caplog.records] == [
        str(tmp_path / "a.png"),
        str(tmp_path / "c.png"),
    ]


def test_a_picture_that_is_not_whole_yet_is_shown_once_it_is(source, tmp_path, caplog):
    """A copy that takes its time: what is there of it is no picture, and what comes later is not missed."""
    write_picture(tmp_path / "a.png", flat(20))
    whole = write_picture(tmp_path / "b.jpg", cv2.resize(flat(200), (320, 240))).read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) * 9 // 10])
    playing = source(tmp_path, at_end="loop")
    assert levels(played(playing, most=3)) == [20] * 3
    assert len(caplog.records) == 1
    (tmp_path / "b.jpg").write_bytes(whole)
    shot = empty(*SIZE)
    seen = set()
    for _ in range(4):
        playing.grab()
        playing.retrieve(shot)
        seen.add(int(shot.data[0]))
    assert seen == {20, 200}
    assert len(caplog.records) == 1


def test_a_picture_is_a_folder_of_one(source, tmp_path, clock):
    path = write_picture(tmp_path / "still.PNG", flat(77))
    t0_s = clock.monotonic()
    assert played(source(path)) == [(t0_s, 77)]
    assert levels(played(source(path, at_end="loop"), most=5)) == [77] * 5


def test_a_folder_that_is_emptied_while_it_plays_is_camera_trouble(source, tmp_path):
    path = write_picture(tmp_path / "a.png", flat(1))
    playing = source(tmp_path, at_end="loop")
    played(playing, most=2)
    path.unlink()
    with pytest.raises(CameraError, match="no picture"):
        playing.grab()


def unplayable(folder):
    (folder / "empty").mkdir()
    (folder / "text.mp4").write_text("no clip")
    (folder / "text.png").write_text("no picture")
    (folder / "blank").mkdir()
    (folder / "blank" / "a.jpg").write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.mp4", "there is no such file"),
        ("missing.png", "there is no such file"),
        ("empty", "holds no picture: expected one of .bmp"),
        ("blank", "there is no picture that can be decoded"),
        ("text.mp4", "no clip"),
        ("text.png", "there is no picture that can be decoded"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_sentence(source, tmp_path, name, sentence):
    unplayable(tmp_path)
    with pytest.raises(CameraError) as refused:
        picture_px(tmp_path / name)
    said = str(refused.value)
    assert sentence in said
    assert str(tmp_path / name) in said
    assert "\n" not in said
    with pytest.raises(CameraError) as caught:
        source(tmp_path / name).open()
    assert str(caught.value) == said


def test_what_can_be_played_has_a_size(clip, tmp_path):
    assert picture_px(clip) == SIZE
    assert picture_px(write_picture(tmp_path / "a.png", flat(1, (120, 30)))) == (120, 30)


def test_the_camera_plays_a_clip_in_lockstep_to_its_end(source, clip, clock):
    camera = CaptureCamera(source(clip), clock, 5.0, lockstep=True)
    seen = []
    with camera:
        while not isinstance(look := camera.newest(5.0), End):
            assert isinstance(look, Frame)
            seen.append(int(look.pixels[0, 0, 0]))
    assert seen == [10 * index for index in range(20)]
    assert camera.dropped == 0


def test_a_clip_is_decoded_into_the_given_buffer_and_nothing_grows(source, tmp_path):
    size = (160, 120)
    path = write_clip(tmp_path / "long.avi", (flat(index % 256, size) for index in range(1300)), 30.0)
    playing = source(path)
    playing.open()
    shot = empty(160, 120)

    def play(count):
        for _ in range(count):
            assert playing.grab() is not None
            playing.retrieve(shot)

    play(100)
    tracemalloc.start()
    try:
        play(100)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        play(1000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2048
    assert peak - before < shot.data.nbytes / 4
    assert shot.data[0] == 1199 % 256


def test_numpy_arrays_of_cv2_are_seen_by_tracemalloc():
    """What the test above rests on."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        picture = cv2.resize(flat(1), (320, 240))
        assert tracemalloc.get_traced_memory()[0] - before >= picture.nbytes
    finally:
        tracemalloc.stop()
