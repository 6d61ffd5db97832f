"""`edged cameras`: over drivers that speak the kernel's structs, below a /dev of the test; and as a process."""

from __future__ import annotations

import errno
import grp
import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from edged import listing
from edged.cli.cameras import show
from edged.config.values import SOURCES
from tests.daemon import edged
from tests.v4l2_driver import Camera, Drivers, Modes

WEBCAM = {
    "YUYV": [Modes((640, 480), ((1, 30), (2, 15))), Modes((1280, 720), ((1, 10),)), Modes((320, 240), ((1, 30),))],
    "MJPG": [Modes((1280, 720), ((1, 30),))],
    "H264": [Modes((1920, 1080), ((1, 30),))],
}
CODEC = Camera("bcm2835-codec-decode", "bcm2835-codec", capabilities=0x04204000)
RECEIVER = Camera("unicam", "unicam", capabilities=0x24200001, formats={"pBAA": [Modes((640, 480))]})


class Machine:
    """A board with a /dev of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.drivers = Drivers()
        self.csi: list[tuple[int, str]] = []
        (root / "dev").mkdir()

    def plug(self, number: int, camera: Camera, by_id: str | None = None) -> Path:
        node = self.drivers.plug(self.root / f"dev/video{number}", camera)
        if by_id:
            folder = self.root / "dev/v4l/by-id"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / by_id).symlink_to(f"../../video{number}")
        return node

    def found(self) -> listing.Listing:
        return listing.cameras(self.root, self.drivers.ioctl, lambda: self.csi)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def objects(machine, capsys):
    """What `--json` prints, and what it says beside it."""

    def listed():
        show(machine.found(), as_json=True)
        told = capsys.readouterr()
        return json.loads(told.out), told.err

    return listed


def test_cameras_go_by_the_path_that_stays(machine, objects):
    machine.plug(0, Camera("HD Webcam", formats=WEBCAM), "usb-046d_HD_Webcam-video-index0")
    machine.plug(1, Camera("HD Webcam", capabilities=0x04A00000), "usb-046d_HD_Webcam-video-index1")
    machine.plug(10, CODEC)
    machine.plug(13, Camera("bcm2835-isp", "bcm2835-isp"))
    machine.plug(20, Camera("pispbe", "pispbe", capabilities=0x24201000))
    machine.plug(3, Camera("vivid", "vivid", formats={"NV12": [Modes((640, 480))]}))
    found, notes = objects()
    assert [(one["source"], one["name"], one["driver"]) for one in found] == [
        (f"v4l2:{machine.root}/dev/v4l/by-id/usb-046d_HD_Webcam-video-index0", "HD Webcam", "uvcvideo"),
        (f"v4l2:{machine.root}/dev/video3", "vivid", "vivid"),
    ]
    assert notes == ""


def test_json_has_formats_sizes_and_rates(machine, objects):
    ranged = [Modes((32, 2592, 2, 32, 1944, 2), ((1, 90), (1, 1), (1, 1)), ranged=True)]
    machine.plug(0, Camera("HD Webcam", formats={"MJPG": WEBCAM["MJPG"], "H264": WEBCAM["H264"], "YUYV": ranged}))
    machine.csi = [(0, "imx708")]
    found, _ = objects()
    assert found == [
        {
            "source": f"v4l2:{machine.root}/dev/video0",
            "name": "HD Webcam",
            "driver": "uvcvideo",
            "formats": [
                {
                    "format": "MJPG",
                    "usable": True,
                    "sizes": [{"width_px": 1280, "height_px": 720, "fps": [30.0], "fps_is_range": False}],
                    "size_range": None,
                },
                {
                    "format": "H264",
                    "usable": False,
                    "sizes": [{"width_px": 1920, "height_px": 1080, "fps": [30.0], "fps_is_range": False}],
                    "size_range": None,
                },
                {
                    "format": "YUYV",
                    "usable": True,
                    "sizes": [{"width_px": 640, "height_px": 480, "fps": [1.0, 90.0], "fps_is_range": True}],
                    "size_range": {"width_px": [32, 2592, 2], "height_px": [32, 1944, 2]},
                },
            ],
        },
        {"source": "picamera2:0", "name": "imx708", "driver": "libcamera", "formats": []},
    ]


def test_a_person_gets_a_block_a_camera_with_the_line_to_paste(machine, capsys):
    machine.plug(0, Camera("HD Webcam", formats=WEBCAM), "usb-046d_HD\\x20Webcam-video-index0")
    machine.plug(2, Camera("Old Grabber", "em28xx", formats={"YUYV": []}))
    machine.csi = [(1, "ov5647")]
    show(machine.found(), as_json=False)
    told = capsys.readouterr()
    path = f"{machine.root}/dev/v4l/by-id/usb-046d_HD\\x20Webcam-video-index0"
    assert told.out.splitlines() == [
        "HD Webcam (uvcvideo)",
        f"  source = {json.dumps('v4l2:' + path)}",
        "  YUYV  up to 30 fps: 640 x 480, 320 x 240",
        "        up to 10 fps: 1280 x 720",
        "  MJPG  up to 30 fps: 1280 x 720",
        "  H264  not used by edged",
        "",
        "Old Grabber (em28xx)",
        f'  source = "v4l2:{machine.root}/dev/video2"',
        "  YUYV  sizes are not told",
        "",
        "ov5647 (libcamera)",
        '  source = "picamera2:1"',
    ]
    assert told.err == ""
    line = told.out.splitlines()[1]
    assert tomllib.loads(line)["source"] == f"v4l2:{path}"


def test_sources_are_what_a_configuration_takes(machine, objects):
    machine.plug(0, Camera(formats=WEBCAM))
    machine.csi = [(0, "imx708")]
    found, _ = objects()
    assert {one["source"].partition(":")[0] for one in found} <= set(re.findall(r"(\w+):", SOURCES))


def test_sizes_by_range_and_long_lists_are_short_for_a_person(machine, capsys):
    many = [Modes((16 * step, 9 * step)) for step in range(1, 60)]
    ranged = [Modes((32, 2592, 2, 32, 1944, 2), ((1, 90), (1, 1), (1, 1)), ranged=True)]
    machine.plug(0, Camera(formats={"YUYV": ranged, "MJPG": many}))
    show(machine.found(), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == ["  YUYV  any size from 32 x 32 to 2592 x 1944", "        up to 90 fps: 640 x 480"]
    assert all(len(line) <= 116 for line in lines[2:])
    assert lines[-1].endswith("944 x 531")


def test_no_camera_is_an_empty_list_and_one_sentence(machine, objects, capsys):
    machine.plug(10, CODEC)
    assert objects() == ([], "")
    show(machine.found(), as_json=False)
    told = capsys.readouterr()
    assert (told.out.count("\n"), told.err) == (1, "")
    assert told.out.startswith("no camera found: plug one in")


def test_a_receiver_without_picamera2_gets_a_hint(machine, objects):
    machine.plug(0, RECEIVER)
    found, notes = objects()
    assert found == []
    assert re.search(r"receiver of CSI cameras \(unicam\).*picamera2:INDEX.*python3-picamera2", notes)
    machine.csi = [(0, "imx708")]
    assert objects()[1] == ""


def test_what_may_not_be_opened_names_the_group(machine, capsys):
    node = machine.plug(0, Camera(formats=WEBCAM))
    name = machine.root / "sys/class/video4linux/video0/name"
    name.parent.mkdir(parents=True)
    name.write_text("HD Webcam\n")
    refused = machine.plug(1, Camera())

    def refusing(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    group = grp.getgrgid(node.stat().st_gid).gr_name
    group = "video" if node.stat().st_gid == 0 else group
    found = listing.cameras(machine.root, refusing, list)
    show(found, as_json=False)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"edged cameras: no permission to open 2 devices (HD Webcam, {refused.name}): let your user be in the group "
        f"{group} (sudo usermod -aG {group} NAME, then log in again)\n"
    )


def test_what_does_not_answer_is_told_and_the_others_are_listed(machine, objects):
    machine.plug(0, Camera("HD Webcam", formats=WEBCAM))
    broken = machine.plug(1, Camera())
    (machine.root / "dev/video2").touch()  # no V4L2 device at all
    ask = machine.drivers.ioctl

    def failing(descriptor, code, answer):
        if Path(f"/proc/self/fd/{descriptor}").readlink() == broken.resolve():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return ask(descriptor, code, answer)

    machine.drivers.ioctl = failing
    found, notes = objects()
    assert [one["name"] for one in found] == ["HD Webcam"]
    assert notes == f"edged cameras: {broken}: cannot be asked what it is: Input/output error\n"


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_this_machine(tmp_path, words):
    """Whatever cameras it has: exit code 0, and JSON alone on stdout."""
    done = edged("cameras", *words, state=tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    if words:
        assert isinstance(json.loads(done.stdout), list)
    else:
        assert "source = " in done.stdout or "no camera found" in done.stdout or done.stderr
    assert not list(tmp_path.iterdir())
