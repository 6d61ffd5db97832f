"""The camera in trouble: lost and found again, stalled, hung, left behind."""

import logging
import threading

import pytest

from edged.core.backoff import Backoff
from edged.core.errors import CameraError, CameraHung
from edged.core.types import Blind, Frame
from edged.edges.camera import CaptureCamera
from tests.fakes import FakeClock
from tests.scenes import SIZE
from tests.scripted_source import PATIENCE_S, ScriptedSource, ShortBackoff, look_for, watching


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
    assert [record.message for record in caplog.records] == ["camera lost: it is gone", "camera back"]


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
