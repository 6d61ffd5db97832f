"""The camera in trouble: lost and found again, stalled, hung, left behind."""

import gc
import logging
import threading
import tracemalloc
from pathlib import Path
from random import Random

import pytest

from edged.core.backoff import Backoff
from edged.core.errors import CameraError, CameraHung
from edged.core.shot import PictureFormat
from edged.core.types import Blind, Frame
from edged.edges.camera import CaptureCamera
from tests.conftest import EMULATED
from tests.fakes import FakeClock
from tests.scenes import SIZE, flat
from tests.scripted_source import PATIENCE_S, ScriptedSource, ShortBackoff, look_for, watching
from tests.shots import jpeg


def capture_threads():
    return [thread for thread in threading.enumerate() if thread.name == "edged-capture"]


@pytest.fixture
def clock():
    return FakeClock()


def test_a_lost_camera_is_reported_on_every_call_and_found_again(clock, caplog):
    caplog.set_level(logging.INFO, "edged.camera")
    source, backoff = ScriptedSource(SIZE, *(CameraError("it is gone") for _ in range(4))), ShortBackoff()
    camera = CaptureCamera(source, clock, 30.0, backoff=backoff)
    with watching(camera, source):
        source.feed((clock.monotonic() + 5.0, 1))  # a clip's time may be ahead of the clock
        t_s = camera.newest(0.0).t_s
        source.feed(CameraError("it is gone"))
        for _ in range(3):
            blind = camera.newest(0.0)
            assert blind == Blind(t_s, "camera_lost", "it is gone")
        clock.advance(6.0)
        blind = camera.newest(0.0)
        assert blind.t_s == clock.monotonic() == t_s + 1.0
        source.feed((t_s + 0.5, 2))  # taken before the blindness was told: time must not go back
        frame = camera.newest(0.0)
        assert (frame.t_s, frame.pixels[0, 0, 0]) == (blind.t_s, 2)
        assert camera.newest(0.0) is None
    assert backoff.delays == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert (source.opened, source.closed) == (6, 6)
    assert [record.message for record in caplog.records] == ["camera lost: it is gone", "camera back after 6 s"]


def test_a_camera_fault_keeps_its_reason(clock):
    source = ScriptedSource(CameraError("torn pictures", "camera_fault"))
    camera = CaptureCamera(source, clock, 30.0, backoff=Backoff(3600.0, 3600.0, 60.0))
    with camera:
        assert look_for(camera, Blind).reason == "camera_fault"


def test_trouble_ends_a_wait_for_a_picture_at_once(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0, backoff=ShortBackoff())
    looks = []
    with watching(camera, source):
        loop = threading.Thread(target=lambda: looks.append(camera.newest(60.0)))
        loop.start()
        for _ in range(100):  # it may not have begun to wait at the first one
            source.feed(CameraError("it is gone"))
            loop.join(0.01)
            if not loop.is_alive():
                break
        assert [type(look) for look in looks] == [Blind]


def test_leaving_does_not_wait_for_the_back_off(clock):
    source = ScriptedSource(CameraError("not there"))
    camera = CaptureCamera(source, clock, 30.0, backoff=Backoff(3600.0, 3600.0, 60.0))
    with camera:
        look_for(camera, Blind)
    assert capture_threads() == []
    assert source.closed == 1


def test_a_stall_is_reported_and_over_with_the_next_picture(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0)
    with watching(camera, source):
        source.feed((clock.monotonic(), 1))
        assert isinstance(camera.newest(0.0), Frame)
        clock.advance(4.9)
        assert camera.newest(0.0) is None
        clock.advance(0.2)
        blind = camera.newest(0.0)
        assert (blind.t_s, blind.reason) == (clock.monotonic(), "camera_lost")
        assert "no picture for 5 s" in blind.text
        source.feed((clock.monotonic(), 2))
        assert isinstance(camera.newest(0.0), Frame)
        assert camera.newest(0.0) is None
    assert source.opened == 1


def test_a_camera_that_opens_but_gives_no_picture_is_lost(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0)
    with watching(camera, source):
        source.feed()
        clock.advance(5.1)
        assert "no picture for 5 s" in camera.newest(0.0).text


def test_a_picture_in_ten_seconds_is_no_stall_where_that_was_asked_for(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 0.1)
    with watching(camera, source):
        source.feed((clock.monotonic(), 1))
        assert isinstance(camera.newest(0.0), Frame)
        clock.advance(15.0)
        assert camera.newest(0.0) is None
        clock.advance(10.0)
        assert isinstance(camera.newest(0.0), Blind)


def test_in_lockstep_a_slow_loop_is_no_stall(clock):
    """The third picture waits for the loop to take the second: it is the loop that is late, not the camera."""
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 10.0, lockstep=True)
    with watching(camera, source):
        for index in range(3):
            source.put((float(index), index))
        assert look_for(camera, Frame).t_s == 0.0
        source.wait_until(lambda: source.retrieved == 3)
        clock.advance(20.0)
        looks = [camera.newest(0.0), camera.newest(0.0), camera.newest(1.0)]
        assert [look.t_s for look in looks if look is not None] == [1.0, 2.0]
        assert not any(isinstance(look, Blind) for look in looks)


def test_an_opening_that_takes_long_is_starting_then_lost_then_hung(clock):
    opening, opens = threading.Event(), threading.Event()

    def slowly():
        opening.set()
        assert opens.wait(PATIENCE_S)
        return SIZE

    source = ScriptedSource(slowly)
    camera = CaptureCamera(source, clock, 30.0)
    with watching(camera, source):
        assert opening.wait(PATIENCE_S)
        clock.advance(14.0)
        assert camera.newest(0.0) is None
        clock.advance(2.0)
        assert "has not opened for 15 s" in camera.newest(0.0).text
        clock.advance(45.0)
        with pytest.raises(CameraHung, match="60 s"):
            camera.newest(0.0)
        opens.set()


def test_a_driver_that_does_not_return_for_a_minute_ends_the_process(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0)
    with watching(camera, source):
        source.feed((clock.monotonic(), 1))
        assert isinstance(camera.newest(0.0), Frame)
        clock.advance(59.0)
        assert isinstance(camera.newest(0.0), Blind)
        clock.advance(2.0)
        with pytest.raises(CameraHung):
            camera.newest(0.0)


def test_a_thread_stuck_in_the_driver_is_left_behind_and_never_joined_by_a_second_one(clock):
    opening, opens = threading.Event(), threading.Event()

    def stuck():
        opening.set()
        assert opens.wait(PATIENCE_S)
        raise CameraError("too late")

    source = ScriptedSource(stuck)
    camera = CaptureCamera(source, clock, 30.0)
    with camera:
        assert opening.wait(PATIENCE_S)
    assert len(capture_threads()) == 1
    with watching(camera, source):
        assert camera.newest(0.05) is None
        assert (source.opened, source.closed) == (1, 0)
        opens.set()
        source.feed((1.0, 9))
        assert camera.newest(0.0).pixels[0, 0, 0] == 9
        assert (source.opened, source.closed) == (2, 1)


def test_an_error_that_is_no_camera_trouble_is_raised_in_the_loop(clock):
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0)
    with camera:
        source.put(ZeroDivisionError("a bug"))
        with pytest.raises(ZeroDivisionError, match="a bug"):
            look_for(camera, Frame)
    assert source.closed == 1


JPEG = PictureFormat(*SIZE, "jpeg")


def picture(level):
    return jpeg(flat(level))


def test_a_damaged_picture_is_left_out_and_five_in_a_row_are_a_fault(clock, caplog):
    caplog.set_level(logging.INFO, "edged.camera")
    source = ScriptedSource(JPEG, JPEG)
    camera = CaptureCamera(source, clock, 30.0, backoff=ShortBackoff())
    with watching(camera, source):
        source.feed((1.0, picture(50)))
        assert camera.newest(0.0).pixels.max() in range(48, 53)
        torn = picture(60)[:200]
        for index in range(4):
            source.feed((2.0 + index, torn))
            assert camera.newest(0.0) is None
        source.feed((6.0, picture(70)))
        assert isinstance(camera.newest(0.0), Frame)
        assert caplog.records == []
        for index in range(5):
            source.feed((7.0 + index, torn))
            look = camera.newest(0.0)
        assert (look.reason, camera.damaged) == ("camera_fault", 9)
        assert "cannot be decoded" in look.text
        assert camera.newest(0.0) == look
        source.put((20.0, torn))  # the thread waits for a picture; then it hears of the complaint and opens anew
        source.wait_until(lambda: source.opened == 2)
        source.feed((clock.monotonic(), picture(80)))
        assert look_for(camera, Frame).pixels.max() in range(78, 83)
        assert camera.newest(0.0) is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_pictures_that_change_their_size_are_a_fault_and_opened_anew(clock):
    source = ScriptedSource(JPEG, PictureFormat(128, 96, "jpeg"))
    camera = CaptureCamera(source, clock, 30.0, backoff=ShortBackoff())
    larger = jpeg(flat(90, (128, 96)))
    with watching(camera, source):
        source.feed((1.0, larger))
        look = camera.newest(0.0)
        assert (look.reason, "another size" in look.text) == ("camera_fault", True)
        source.put((2.0, larger))
        source.wait_until(lambda: source.opened == 2)
        source.feed((clock.monotonic(), larger))
        assert look_for(camera, Frame).pixels.shape == (96, 128, 3)


def test_a_camera_that_came_back_is_opened_before_the_back_off_is_over(clock):
    source = ScriptedSource(CameraError("unplugged"), SIZE)
    source.returned = True
    camera = CaptureCamera(source, clock, 30.0, backoff=Backoff(3600.0, 3600.0, 60.0))
    with watching(camera, source):
        source.feed((1.0, 7))
        assert look_for(camera, Frame).pixels.max() == 7


def test_an_outage_is_told_once_down_and_once_up_however_its_reason_alternates(clock, caplog):
    caplog.set_level(logging.INFO, "edged.camera")
    errors = [CameraError("it does not open"), CameraError("it does not answer")] * 10
    source = ScriptedSource(*errors)
    camera = CaptureCamera(source, clock, 30.0, backoff=ShortBackoff())
    with watching(camera, source):
        while source.opened <= len(errors):
            camera.newest(0.001)
        clock.advance(90.0)
        source.feed((clock.monotonic(), 1))
        assert isinstance(look_for(camera, Frame), Frame)
    told = [record.message for record in caplog.records]
    assert sorted(told[:-1]) == ["camera lost: it does not answer", "camera lost: it does not open"]
    assert told[-1].startswith("camera back after ")


def test_what_the_loop_finds_no_good_is_opened_anew_without_another_word(clock, caplog):
    caplog.set_level(logging.INFO, "edged.camera")
    source = ScriptedSource()
    camera = CaptureCamera(source, clock, 30.0, backoff=ShortBackoff())
    with watching(camera, source):
        source.feed((1.0, 1))
        assert isinstance(camera.newest(0.0), Frame)
        camera.reopen(CameraError("it is frozen", "camera_fault"))
        source.put((2.0, 2))
        source.wait_until(lambda: source.opened == 2)
        source.feed((clock.monotonic(), 3))
        assert look_for(camera, Frame).pixels.max() in (2, 3)
    assert caplog.records == [], "whoever asked for it has told why"


def test_a_complaint_about_pictures_before_an_opening_does_not_end_what_follows(clock):
    source = ScriptedSource(JPEG, JPEG, JPEG)
    camera = CaptureCamera(source, clock, 30.0, backoff=ShortBackoff())
    larger = jpeg(flat(90, (128, 96)))
    with watching(camera, source):
        source.feed((1.0, larger))
        assert isinstance(camera.newest(0.0), Blind)
        source.put((2.0, larger))  # published, then the thread hears of the complaint
        source.wait_until(lambda: source.opened == 2)
        source.feed((clock.monotonic(), picture(50)), (clock.monotonic(), picture(50)))
        assert isinstance(look_for(camera, Frame), Frame)
        assert source.opened == 2


FAULTS = ("lost", "fault", "torn", "tiny", "empty", "stall", "size", "picture", "picture", "picture")


def test_a_thousand_random_faults_in_sequence_leave_nothing_behind(clock, caplog):
    """After each, the right state; at the end, no thread, no descriptor and no memory more than before."""
    caplog.set_level(logging.CRITICAL, "edged.camera")  # pytest keeps what is logged, which would be a growth
    random = Random(7)
    whole, other = picture(120), jpeg(flat(30, (128, 96)))
    source = ScriptedSource(*[JPEG] * 2000)
    camera = CaptureCamera(source, clock, 30.0, backoff=Backoff(0.001, 0.001, 60.0))
    damaged, resident = 0, 0
    count = 100 if EMULATED else 1000
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with watching(camera, source):
        for index in range(count):
            clock.advance(0.1)
            kind, t_s, opened = random.choice(FAULTS), clock.monotonic(), source.opened
            if kind in ("lost", "fault"):
                source.put(CameraError(f"it is {kind}", f"camera_{kind}"))
                source.wait_until(lambda: source.opened > opened)  # noqa: B023
                blind = look_for(camera, Blind)
                complained = camera.damaged > damaged
                assert blind.reason == f"camera_{kind}" or (complained and blind.reason == "camera_fault")
            elif kind == "stall":
                clock.advance(6.0)
                assert isinstance(look_for(camera, Blind), Blind)
            else:
                data = {"torn": whole[: random.randrange(2, whole.size)], "tiny": whole[:1], "empty": whole[:0]}
                source.put((t_s, {**data, "size": other}.get(kind, whole)))
                taken = source.retrieved
                source.wait_until(lambda: source.retrieved > taken or source.opened > opened)  # noqa: B023
                look = camera.newest(0.01)
                if kind == "size":
                    assert isinstance(look, Blind)
                elif kind != "picture":
                    assert not isinstance(look, Frame), "what is damaged is never seen"
            damaged = camera.damaged
            if index % (count // 20) == 0:  # whatever happened: a good picture, and all is well
                clock.advance(0.1)
                settled = until_seen(camera, source, clock, whole)
                assert (settled.pixels.shape, capture_count()) == ((SIZE[1], SIZE[0], 3), 1)
                if index == count // 5:
                    tracemalloc.start()
                    resident = resident_bytes()
                    before = tracemalloc.get_traced_memory()[0]
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert capture_threads() == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert grown < 16 * 1024
    assert EMULATED or resident_bytes() - resident < 4 * 1024 * 1024, "tracemalloc's own books are in it"


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def capture_count():
    return len(capture_threads())


def until_seen(camera, source, clock, data):
    """Feeds good pictures until one is seen: a complaint of before may cost one of them."""
    for _ in range(20):
        clock.advance(0.1)
        source.put((clock.monotonic(), data))
        for _ in range(20):
            look = camera.newest(0.05)
            if isinstance(look, Frame):
                return look
    raise AssertionError("no picture came back")
