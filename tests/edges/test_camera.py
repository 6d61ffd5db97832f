"""The camera as the loop sees it while all goes well, over a scripted source."""

import tracemalloc

import numpy as np
import pytest

from edged.core.errors import CameraError
from edged.core.shot import PictureFormat
from edged.core.types import Box, End, Frame
from edged.edges.camera import CaptureCamera
from tests.fakes import FakeClock
from tests.scenes import SIZE, flat
from tests.scripted_source import ScriptedSource, ShortBackoff, look_for, watching
from tests.shots import jpeg


@pytest.fixture
def clock():
    return FakeClock()


def test_nothing_yet_is_none_and_then_comes_the_newest_picture(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0)
    with watching(camera, source):
        assert camera.newest(0.0) is None
        source.feed((1.0, 10), (2.0, 20), (3.0, 30))
        frame = camera.newest(0.0)
        assert (frame.t_s, frame.pixels.shape, frame.pixels.min(), frame.pixels.max()) == (3.0, (48, 64, 3), 30, 30)
        assert camera.dropped == 2
        assert camera.newest(0.0) is None


def test_the_count_of_dropped_pictures_outlives_a_pause(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0)
    for total in (1, 2):
        with watching(camera, source):
            source.feed((clock.monotonic() + total, 1), (clock.monotonic() + total + 0.5, 2))
            assert isinstance(camera.newest(0.0), Frame)
            assert camera.dropped == total
    assert source.closed == 2


def test_only_pictures_that_are_due_are_decoded(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 10.0)
    with watching(camera, source):
        for index in range(30):
            source.feed((100 + index / 30, index))
            camera.newest(0.0)
        assert (source.retrieved, camera.taken, camera.dropped) == (10, 10, 0)


def test_of_thirty_jpegs_a_second_five_are_decoded_where_five_are_classified(clock):
    source = ScriptedSource(PictureFormat(*SIZE, "jpeg"))
    camera = CaptureCamera(source, clock, 5.0, least_scale=lambda *_: 0.5)
    classified = 0
    with watching(camera, source):
        for index in range(300):
            source.feed((100 + index / 30, jpeg(flat(index % 200))))
            frame = camera.newest(0.0)
            if frame is not None:
                assert frame.luma.size < frame.pixels.size
                classified += 1
    assert classified == 50
    assert camera.decoded <= 52


def test_a_loop_that_comes_late_finds_the_newest_picture_and_not_the_one_that_was_due(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 5.0)
    with watching(camera, source):
        source.feed(*((100 + index / 30, index) for index in range(6)))
        frame = camera.newest(0.0)
        assert (frame.t_s, frame.pixels.max()) == (100 + 5 / 30, 5)
        assert (camera.taken, camera.dropped) == (1, 5)


def test_in_lockstep_every_picture_comes_and_then_the_end(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 1.0, lockstep=True)
    for index in range(100):
        source.put((index / 30, index))
    source.put(None)
    with camera:
        levels = [int(look_for(camera, Frame).pixels[0, 0, 0]) for _ in range(100)]
        assert levels == list(range(100))
        assert look_for(camera, End).t_s == 99 / 30
        assert isinstance(camera.newest(0.0), End)
    assert camera.dropped == 0
    assert source.closed == 1


def test_masks_are_laid_on_before_the_picture_is_seen_and_rotation_is_left_to_who_reads_it(clock):
    source = ScriptedSource()
    mask = Box(0.5, 0.0, 1.0, 0.25)  # of the turned picture, 48 wide and 64 high: the upper right
    camera = CaptureCamera(source, clock, 30.0, rotate_deg=90, masks=[mask])
    with watching(camera, source):
        source.feed((1.0, 100))
        frame = camera.newest(0.0)
    assert (frame.pixels.shape, frame.rotate_deg) == ((48, 64, 3), 90)
    turned = np.rot90(frame.pixels, -1)
    assert not turned[:16, 24:].any()
    assert np.all(turned[16:] == 100)
    assert np.all(turned[:16, :24] == 100)


def test_masks_without_rotation(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0, masks=[Box(0.0, 0.0, 0.25, 1.0), Box(0.75, 0.5, 1.0, 1.0)])
    with watching(camera, source):
        for t_s in (1.0, 2.0, 3.0, 4.0):  # every buffer of the slot
            source.feed((t_s, 200))
            pixels = camera.newest(0.0).pixels
            expected = np.full((48, 64, 3), 200, np.uint8)
            expected[:, :16] = 0
            expected[24:, 48:] = 0
            np.testing.assert_array_equal(pixels, expected)


def test_another_size_after_an_opening(clock):
    source = ScriptedSource(SIZE, (32, 16))
    camera = CaptureCamera(source, clock, 30.0, rotate_deg=270, masks=[Box(0.0, 0.0, 1.0, 0.5)], backoff=ShortBackoff())
    with watching(camera, source):
        source.feed((1.0, 50))
        held = camera.newest(0.0).pixels
        assert held.shape == (48, 64, 3)
        source.feed(CameraError("unplugged"), (clock.monotonic(), 60))
        frame = look_for(camera, Frame)
        turned = np.rot90(frame.pixels, 1)
        assert turned.shape == (32, 16, 3)
        assert (turned[:16].max(), turned[16:].min()) == (0, 60)
        assert held.max() == 50


def test_a_model_that_needs_larger_pictures_gets_them_from_the_next_one_on(clock):
    source = ScriptedSource(PictureFormat(*SIZE, "jpeg"))
    camera = CaptureCamera(source, clock, 10.0, least_scale=lambda *_: 0.25)
    sizes = []
    with watching(camera, source):
        for index, scale in enumerate((0.25, 1.0, 0.5)):
            camera.rescale(lambda *_, scale=scale: scale)
            source.feed((100.0 + index, jpeg(flat(90))))
            sizes.append(camera.newest(0.0).pixels.shape[:2])
    assert sizes == [(12, 16), (48, 64), (24, 32)]


class EndlessSource(ScriptedSource):
    """A picture whenever it is asked."""

    def grab(self):
        self.asked += 1
        return self.asked / 30

    def retrieve(self, out):
        out.data.fill(self.asked % 256)
        out.size_bytes = out.data.size


def test_a_thousand_frames_leave_nothing_behind(clock):
    camera = CaptureCamera(
        EndlessSource((320, 240)), clock, 30.0, rotate_deg=90, masks=[Box(0.0, 0.0, 0.5, 0.5)], lockstep=True
    )
    with camera:
        for _ in range(200):
            look_for(camera, Frame)
        tracemalloc.start()
        try:
            for _ in range(200):
                look_for(camera, Frame)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(1000):
                look_for(camera, Frame)
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert after - before < 2048
    assert peak - before < 320 * 240 * 3 / 4
