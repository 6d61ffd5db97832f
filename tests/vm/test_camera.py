"""edged's camera edge on a kernel's V4L2 device, in a virtual arm64 machine: what it gives while all is well."""

from __future__ import annotations

import itertools

import pytest

from tests.vm.vivid import CAMERA, OUTPUT, Vivid, WatchedCamera

BLACK, WHITE = 5, 6
"""Of the control test_pattern."""


def test_pictures_come_raw_and_at_the_size_and_rate_that_were_asked_for(vivid: Vivid, camera: WatchedCamera) -> None:
    camera.open(width_px=640, height_px=480, fps=10)
    frame = camera.wait_for("frame")
    settings = vivid.settings()
    assert frame["size"] == [640, 480]
    assert frame["encoding"] == "yuyv"
    assert "'YUYV'" in settings
    assert "640/480" in settings
    assert "10.000 (10/1)" in settings


def test_a_frame_has_the_time_at_which_the_driver_took_it(vivid: Vivid, camera: WatchedCamera) -> None:
    camera.open()
    frames = camera.frames(30)
    assert all(before["t_s"] < after["t_s"] for before, after in itertools.pairwise(frames))
    # A time that edged's clock never said is the driver's, and it is of the same clock: no picture is from the future.
    assert [frame["by_driver"] for frame in frames] == [True] * 30
    assert min(frame["age_s"] for frame in frames) >= 0.0
    # A queue would make every picture old; a busy host makes some old, and the youngest of many tells them apart.
    assert min(frame["age_s"] for frame in frames) < 0.2


def test_a_driver_whose_times_lie_in_the_future_is_not_believed(vivid: Vivid, camera: WatchedCamera) -> None:
    # It hands the picture out before the end of the frame that it stamps it with.
    vivid.set("timestamp_source", 0)
    camera.open()
    frames = camera.frames(30)
    assert not all(frame["by_driver"] for frame in frames)
    assert all(before["t_s"] < after["t_s"] for before, after in itertools.pairwise(frames))
    assert min(frame["age_s"] for frame in frames) >= 0.0


@pytest.mark.parametrize(("asked", "nearest"), [((600, 400), [640, 480]), ((10, 10), [320, 180])])
def test_a_size_that_the_camera_lacks_gives_its_nearest(
    vivid: Vivid, camera: WatchedCamera, asked: tuple[int, int], nearest: list[int]
) -> None:
    camera.open(width_px=asked[0], height_px=asked[1])
    assert camera.wait_for("frame")["size"] == nearest


def test_a_scene_that_changes_is_seen(vivid: Vivid, camera: WatchedCamera) -> None:
    vivid.set("osd_text_mode", 2)
    camera.open()
    lumas = []
    for pattern in (WHITE, BLACK):
        vivid.set("test_pattern", pattern)
        queued = camera.frames(5, after=camera.mark())
        (frame,) = camera.frames(1, after=queued[-1]["number"])
        lumas.append(frame["luma"])
    white, black = lumas
    assert white - black > 150.0


@pytest.mark.parametrize("path", ["/dev/null", OUTPUT, "/dev", "/etc/hostname"])
def test_a_device_that_is_no_camera_is_told_in_one_sentence(vivid: Vivid, camera: WatchedCamera, path: str) -> None:
    camera.open(path)
    blind = camera.wait_for("blind")
    assert blind["reason"] == "camera_lost"
    assert "edged cameras" in blind["text"]
    assert "\n" not in blind["text"]
    assert path not in blind["text"]


def test_a_camera_that_another_program_uses_is_told_and_taken_when_it_is_free(
    vivid: Vivid, camera: WatchedCamera
) -> None:
    with vivid.used_by_another_program():
        camera.open()
        blind = camera.wait_for("blind")
        assert blind["reason"] == "camera_lost"
        assert "another program" in blind["text"]
        assert CAMERA not in blind["text"]
    assert camera.wait_for("frame", after=blind["number"])["size"] == [320, 180]
