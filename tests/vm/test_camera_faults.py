"""Every way in which the kernel lets a camera fail: edged tells that it is lost, and has it back by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vm.vivid import CAMERA, Look, Vivid, WatchedCamera

ROUNDS = 3


def lost_and_back(camera: WatchedCamera, lose: Callable[[], None], mend: Callable[[], None]) -> tuple[Look, Look]:
    """The first look that told of the loss, and the first picture after it was mended."""
    after = camera.wait_for("frame", camera.mark())["number"]
    lose()
    blind = camera.wait_for("blind", after)
    mend()
    frame = camera.wait_for("frame", after=blind["number"])
    assert blind["reason"] == "camera_lost"
    assert "\n" not in blind["text"]
    assert CAMERA not in blind["text"]
    assert frame["t_s"] > blind["t_s"]
    return blind, frame


def nothing() -> None:
    """The camera mends itself."""


def test_a_camera_that_stalls_is_lost_until_it_delivers_again(vivid: Vivid, camera: WatchedCamera) -> None:
    camera.open()
    blind, _ = lost_and_back(
        camera,
        lambda: vivid.set("percentage_of_dropped_buffers", 100),
        lambda: vivid.set("percentage_of_dropped_buffers", 0),
    )
    # Told by the limit of a stall, long before the one at which the process ends.
    assert [look["kind"] for look in camera.seen() if look["kind"] not in ("frame", "blind")] == []
    assert "stopped delivering pictures" in blind["text"] or "no picture for" in blind["text"]


@pytest.mark.parametrize("control", ["disconnect", "inject_fatal_streaming_error"])
def test_a_stream_that_breaks_is_lost_and_comes_back(vivid: Vivid, camera: WatchedCamera, control: str) -> None:
    camera.open()
    lost_and_back(camera, lambda: vivid.set(control), nothing)


def test_a_stream_that_is_refused_once_is_tried_again(vivid: Vivid, camera: WatchedCamera) -> None:
    vivid.set("inject_vidioc_streamon_error")
    camera.open()
    frame = camera.wait_for("frame")
    assert {look["reason"] for look in camera.seen() if look["kind"] == "blind"} <= {"camera_lost"}
    assert frame["size"] == [320, 180]


@pytest.mark.parametrize("control", ["inject_v4l2_buf_flag_error", "inject_vidioc_qbuf_error"])
def test_a_single_bad_buffer_does_not_end_the_stream(vivid: Vivid, camera: WatchedCamera, control: str) -> None:
    camera.open()
    after = camera.wait_for("frame")["number"]
    vivid.set(control)
    assert len(camera.frames(20, after)) == 20


def test_a_camera_that_is_unplugged_is_lost_until_it_is_plugged_in(vivid: Vivid, camera: WatchedCamera) -> None:
    def plug_when_missed() -> None:
        look = camera.wait_for("blind")
        while "there is no camera" not in look["text"]:
            look = camera.wait_for("blind", look["number"])
        vivid.plug()

    camera.open(longest_wait_s=60.0)
    lost_and_back(camera, vivid.unplug, plug_when_missed)
    lost_and_back(camera, vivid.unplug, vivid.plug)


def test_a_camera_that_is_not_there_at_the_start_is_found_when_it_comes(vivid: Vivid, camera: WatchedCamera) -> None:
    vivid.unload()
    camera.open(longest_wait_s=60.0)
    blind = camera.wait_for("blind")
    assert blind["reason"] == "camera_lost"
    assert "there is no camera" in blind["text"]
    vivid.reset()
    assert camera.wait_for("frame", after=blind["number"])["size"] == [320, 180]


def test_no_fault_leaves_a_file_or_a_thread_behind(vivid: Vivid, camera: WatchedCamera) -> None:
    faults: list[tuple[Callable[[], None], Callable[[], None]]] = [
        (lambda: vivid.set("disconnect"), nothing),
        (lambda: vivid.set("inject_fatal_streaming_error"), nothing),
        (vivid.unplug, vivid.plug),
        (
            lambda: vivid.set("percentage_of_dropped_buffers", 100),
            lambda: vivid.set("percentage_of_dropped_buffers", 0),
        ),
    ]
    closed = camera.held()
    camera.open(longest_wait_s=1.0)
    lost_and_back(camera, *faults[0])
    before = camera.held()
    assert before["videos"] == 1
    for _ in range(ROUNDS):
        for lose, mend in faults:
            lost_and_back(camera, lose, mend)
    assert camera.held() == before
    camera.close()
    after = camera.held()
    assert after["videos"] == 0
    assert after["threads"] == closed["threads"]
