"""What a device offers, over drivers that speak the same structs; and what is chosen from it."""

import errno
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.edges import camera_v4l2_device as device
from edged.edges.camera_v4l2_choice import MAX_TEXT_BYTES, SLACK, Choice, choices, formats_text, sizes_text
from edged.edges.camera_v4l2_device import Device, Format, Size, Span, examine, find_nodes
from tests.conftest import EMULATED
from tests.v4l2_driver import Camera, Drivers, Modes

WEBCAM = {
    "YUYV": [Modes((640, 480), ((1, 30), (1, 15), (2, 15))), Modes((1280, 720), ((1, 10), (1, 5)))],
    "MJPG": [Modes((640, 480), ((1001, 30000),)), Modes((1280, 720), ((1, 30),))],
}


@pytest.fixture
def drivers():
    return Drivers()


@pytest.fixture
def ask(drivers, tmp_path):
    """Asks a camera for everything."""

    def asked(camera, width_px=640, height_px=480):
        node = drivers.plug(tmp_path / "dev/video0", camera)
        return examine(node, width_px, height_px, drivers.ioctl)

    return asked


def test_the_layouts_are_those_of_the_kernel():
    sizes = [device.CAPABILITY.size, device.FORMAT.size, device.FRAME_SIZE.size, device.FRAME_INTERVAL.size]
    assert sizes == [104, 64, 44, 52]
    codes = [device.QUERYCAP, device.ENUM_FMT, device.ENUM_FRAMESIZES, device.ENUM_FRAMEINTERVALS]
    assert [code >> 16 & 0x3FFF for code in codes] == sizes
    assert [code & 0xFF for code in codes] == [0, 2, 74, 75]


@pytest.mark.skipif(EMULATED or not shutil.which("cc"), reason="there is no C compiler to ask")
def test_the_layouts_are_those_of_the_header_on_this_machine(tmp_path):
    source = tmp_path / "sizes.c"
    structs = ("v4l2_capability", "v4l2_fmtdesc", "v4l2_frmsizeenum", "v4l2_frmivalenum")
    asked = ("VIDIOC_QUERYCAP", "VIDIOC_ENUM_FMT", "VIDIOC_ENUM_FRAMESIZES", "VIDIOC_ENUM_FRAMEINTERVALS")
    bits = ("V4L2_CAP_VIDEO_M2M", "V4L2_CAP_VIDEO_M2M_MPLANE", "V4L2_CAP_DEVICE_CAPS", "V4L2_CAP_IO_MC")
    lines = [f'printf("%lu\\n", (unsigned long)sizeof(struct {name}));' for name in structs]
    lines += [f'printf("%lu\\n", (unsigned long){name});' for name in (*asked, *bits)]
    source.write_text(
        f"#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void) {{ {''.join(lines)} return 0; }}\n"
    )
    if subprocess.run(["cc", "-o", tmp_path / "sizes", source], capture_output=True).returncode:
        pytest.skip("there is no linux/videodev2.h")
    told = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True).stdout.split()
    assert [int(number) for number in told] == [
        *(device.CAPABILITY.size, device.FORMAT.size, device.FRAME_SIZE.size, device.FRAME_INTERVAL.size),
        *(device.QUERYCAP, device.ENUM_FMT, device.ENUM_FRAMESIZES, device.ENUM_FRAMEINTERVALS),
        *(device.VIDEO_M2M, device.VIDEO_M2M_MPLANE, device.DEVICE_CAPS, device.IO_MC),
    ]


def test_a_camera_tells_its_names_formats_sizes_and_rates(ask):
    found = ask(Camera("HD Webcam", formats=WEBCAM))
    assert (found.driver, found.card, found.bus, found.kind) == (
        *("uvcvideo", "HD Webcam", "usb-0000:01:00.0-1.3", "camera"),
    )
    assert found.formats == (
        Format("YUYV", "YUYV pictures", (Size(640, 480, (7.5, 15.0, 30.0)), Size(1280, 720, (5.0, 10.0)))),
        Format("MJPG", "MJPG pictures", (Size(640, 480, (29.97,)), Size(1280, 720, (30.0,)))),
    )


def test_sizes_and_rates_by_range_are_asked_for_what_is_wanted(ask):
    camera = Camera(formats={"YUYV": [Modes((32, 2592, 2, 32, 1944, 2), ((1, 90), (1, 1), (1, 1)), ranged=True)]})
    (found,) = ask(camera, 641, 480).formats
    assert found.span == Span((32, 2592, 2), (32, 1944, 2))
    assert found.sizes == (Size(642, 480, (1.0, 90.0), any_rate=True),)


def test_a_driver_without_lists_is_a_camera_all_the_same(ask):
    assert ask(Camera(formats={})).formats == ()
    assert ask(Camera(formats={"YUYV": []})).formats == (Format("YUYV", "YUYV pictures"),)


def test_formats_of_a_driver_with_several_planes_are_found(ask):
    camera = Camera(capabilities=0x00001000, buffers=9, formats={"NV12": [Modes((640, 480))]})
    assert [one.fourcc for one in ask(camera).formats] == ["NV12"]


@pytest.mark.parametrize(
    "endless", [{"formats"}, {"sizes"}, {"intervals"}, {"formats", "sizes", "intervals"}], ids="+".join
)
def test_a_driver_whose_lists_never_end_is_left_alone(ask, endless):
    camera = Camera(formats=WEBCAM, endless=frozenset(endless))
    found = ask(camera)
    assert [one.fourcc for one in found.formats] == ["YUYV", "MJPG"]
    assert found.formats[0].sizes[0].rates_hz == (7.5, 15.0, 30.0)
    assert camera.asked <= device.MAX_ASKED + 1


def test_all_the_questions_together_are_bounded(ask):
    many = {
        f"F{number:03d}": [Modes((16 + step, 16), ((1, 30),)) for step in range(device.MAX_ENTRIES)]
        for number in range(device.MAX_ENTRIES)
    }
    camera = Camera(formats=many)
    ask(camera)
    assert camera.asked == device.MAX_ASKED + 1


@pytest.mark.parametrize("intervals", [((0, 30),), ((1, 0),), ((0, 0),)])
def test_a_rate_that_is_none_is_left_out(ask, intervals):
    assert ask(Camera(formats={"YUYV": [Modes((640, 480), intervals)]})).formats[0].sizes[0].rates_hz == ()


def test_an_impossible_range_is_no_size(ask):
    (found,) = ask(Camera(formats={"YUYV": [Modes((100, 10, 0, 0, 0, 0))]})).formats
    assert (found.sizes, found.span) == ((), None)


def test_names_are_text_for_a_terminal(ask):
    found = ask(Camera(card="Cam\x1b[31m\nera"))
    assert found.card == "Cam?[31m?era"


def test_a_driver_that_tells_nothing_of_the_node_is_taken_by_its_own_capabilities(ask):
    assert ask(Camera(says_of_node=False, capabilities=0x00000001, formats=WEBCAM)).kind == "camera"


@pytest.mark.parametrize(
    ("code", "text"),
    [(0x56595559, "YUYV"), (0x20363159, "Y16 "), (0xA0363159, "Y16 -BE"), (0x0A1B4241, "AB??"), (0, "????")],
)
def test_formats_are_named_by_four_characters(code, text):
    assert device.fourcc_text(code) == text


@pytest.mark.parametrize(
    ("driver", "capabilities", "kind"),
    [
        ("uvcvideo", 0x04200001, "camera"),
        ("uvcvideo", 0x04A00000, "other"),  # metadata
        ("bcm2835-codec", 0x04204000, "processor"),
        ("bcm2835-isp", 0x04200001, "processor"),
        ("pispbe", 0x24201000, "processor"),
        ("bcm2835-isp", 0x04200002, "other"),  # its input
        ("unicam", 0x04A00001, "receiver"),
        ("rp1-cfe", 0x24A00001, "receiver"),
        ("another-soc", 0x24200001, "receiver"),
        ("vivid", 0x05200001, "camera"),
    ],
)
def test_cameras_are_told_from_codecs_and_receivers(ask, driver, capabilities, kind):
    assert ask(Camera(driver=driver, capabilities=capabilities)).kind == kind


def test_a_codec_is_asked_nothing_more(ask):
    camera = Camera(driver="bcm2835-codec", capabilities=0x04204000, formats=WEBCAM)
    assert (ask(camera).formats, camera.asked) == ((), 1)


def open_files():
    return {link.name for link in Path("/proc/self/fd").iterdir()}


def test_what_is_asked_is_closed_again(ask, drivers, tmp_path):
    before = open_files()
    for _ in range(3):
        ask(Camera(formats=WEBCAM))
    (tmp_path / "dev/video1").touch()
    with pytest.raises(OSError, match="ioctl"):
        examine(tmp_path / "dev/video1", 640, 480, drivers.ioctl)
    assert open_files() == before


@pytest.mark.skipif(EMULATED, reason="QEMU's user emulation answers a V4L2 ioctl on a file with ENOSYS")
def test_a_file_is_no_camera(tmp_path):
    (tmp_path / "video0").write_text("no camera")
    with pytest.raises(OSError, match="ioctl") as caught:
        examine(tmp_path / "video0", 640, 480)
    assert caught.value.errno == errno.ENOTTY


def test_a_node_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        examine(Path("/dev/no-such-camera"), 640, 480)


def test_nodes_go_by_the_name_that_stays(drivers, tmp_path):
    for number in (10, 0, 1, 2):
        drivers.plug(tmp_path / f"dev/video{number}", Camera())
    (tmp_path / "dev/video-card").touch()
    for folder, link, number in (
        ("by-id", "usb-Cam-video-index0", 0),
        ("by-path", "pci-usb-0:1.3-video-index0", 0),
        ("by-path", "platform-vivid.0-video-index0", 1),
        ("by-path", "platform-vivid.0-again", 1),
    ):
        (tmp_path / "dev/v4l" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "dev/v4l" / folder / link).symlink_to(f"../../video{number}")
    assert [node.name for node in find_nodes(tmp_path)] == [
        *("usb-Cam-video-index0", "platform-vivid.0-again", "video2", "video10"),
    ]
    assert find_nodes(tmp_path / "nothing") == []


# The choice


def offer(**formats):
    """A device by format: sizes as ((width, height), rates)."""
    return Device(
        *("driver", "card", "bus", 1),
        tuple(
            Format(name.ljust(4), name, tuple(Size(*size, tuple(map(float, rates))) for size, rates in sizes))
            for name, sizes in formats.items()
        ),
    )


VGA, HD, FULL_HD = (640, 480), (1280, 720), (1920, 1080)


@pytest.mark.parametrize(
    ("formats", "wanted", "chosen"),
    [
        # the size: exact, then the same shape and not smaller, then not smaller, then the largest
        ({"YUYV": [(VGA, [30]), ((320, 240), [30])]}, (320, 240, 10), ("YUYV", 320, 240, 30)),
        ({"YUYV": [((176, 144), [30]), ((352, 288), [30]), (VGA, [30])]}, (320, 240, 10), ("YUYV", 640, 480, 30)),
        ({"YUYV": [((176, 144), [30]), ((352, 288), [30])]}, (320, 240, 10), ("YUYV", 352, 288, 30)),
        ({"YUYV": [((176, 144), [30]), ((160, 120), [30])]}, (320, 240, 10), ("YUYV", 176, 144, 30)),
        # a format with the size comes before one without
        ({"YUYV": [(VGA, [30])], "MJPG": [(HD, [30])]}, (*HD, 10), ("MJPG", 1280, 720, 30)),
        # the rate: the lowest that is enough, else the highest
        ({"YUYV": [(VGA, [5, 9, 15, 30])]}, (*VGA, 10), ("YUYV", 640, 480, 15)),
        ({"YUYV": [(VGA, [5, 29.97])]}, (*VGA, 30), ("YUYV", 640, 480, 29.97)),
        ({"YUYV": [(VGA, [5, 9])]}, (*VGA, 10), ("YUYV", 640, 480, 9)),
        # YUYV while it is easy for USB 2 and fast enough
        ({"MJPG": [(VGA, [30])], "YUYV": [(VGA, [30])]}, (*VGA, 10), ("YUYV", 640, 480, 30)),
        ({"YUYV": [(HD, [10])], "MJPG": [(HD, [30])]}, (*HD, 10), ("YUYV", 1280, 720, 10)),
        ({"YUYV": [(HD, [10])], "MJPG": [(HD, [30])]}, (*HD, 15), ("MJPG", 1280, 720, 30)),
        ({"YUYV": [(FULL_HD, [30])], "MJPG": [(FULL_HD, [30])]}, (*FULL_HD, 10), ("MJPG", 1920, 1080, 30)),
        ({"YUYV": [(FULL_HD, [30])], "MJPG": [(FULL_HD, [15])]}, (*FULL_HD, 30), ("YUYV", 1920, 1080, 30)),
        ({"YUYV": [(FULL_HD, [5])]}, (*FULL_HD, 10), ("YUYV", 1920, 1080, 5)),
        # what OpenCV makes BGR of comes last, grey after colour
        ({"GREY": [(VGA, [30])], "NV12": [(VGA, [30])], "MJPG": [(VGA, [30])]}, (*VGA, 10), ("MJPG", 640, 480, 30)),
        ({"GREY": [(VGA, [30])], "NV12": [(VGA, [30])]}, (*VGA, 10), ("NV12", 640, 480, 30)),
        ({"H264": [(VGA, [30])], "Y16": [(VGA, [30])]}, (*VGA, 10), ("Y16 ", 640, 480, 30)),
    ],
)
def test_the_choice(formats, wanted, chosen):
    best = choices(offer(**formats), *wanted)[0]
    assert (best.fourcc, best.width_px, best.height_px, best.rates_hz[0]) == chosen


def test_each_format_is_there_once_to_fall_back_on():
    found = choices(offer(YUYV=[(VGA, [30]), (HD, [10])], H264=[(VGA, [30])], MJPG=[(HD, [30])]), *VGA, 10)
    assert [(one.fourcc, one.width_px) for one in found] == [("YUYV", 640), ("MJPG", 1280)]


def test_a_range_of_rates_gives_the_very_rate():
    ranged = Format("YUYV", "", (Size(*VGA, (1.0, 90.0), any_rate=True),))
    for fps, rates in ((12.5, (12.5, 90.0)), (0.5, (1.0, 90.0)), (91.0, (90.0,)), (100.0, (90.0,))):
        assert choices(Device("", "", "", 1, (ranged,)), *VGA, fps)[0].rates_hz == rates


@pytest.mark.parametrize(("size", "order"), [(VGA, ["YUYV", "MJPG"]), (FULL_HD, ["MJPG", "YUYV"])])
def test_a_camera_that_tells_nothing_is_tried(size, order):
    found = choices(offer(), *size, 10.0)
    assert found[0] == Choice(order[0], *size, (10, 15, 20, 24, 25, 30, 50, 60))
    assert [one.fourcc for one in found] == order


def test_a_format_that_tells_no_size_is_asked_for_the_wanted_one():
    assert choices(offer(MJPG=[]), *HD, 10.0)[0].width_px == 1280


def test_nothing_that_can_be_read_is_no_choice():
    assert choices(offer(H264=[(VGA, [30])], pBAA=[(VGA, [30])]), *VGA, 10.0) == []


SIZES = st.tuples(
    st.tuples(st.integers(2, 4096), st.integers(2, 4096)),
    st.lists(st.sampled_from([1, 5, 7.5, 15, 30, 60]), max_size=4),
)


@given(
    st.dictionaries(st.sampled_from(["YUYV", "MJPG", "NV12", "GREY", "H264"]), st.lists(SIZES, max_size=6), min_size=1),
    st.integers(16, 4096),
    st.integers(16, 4096),
    st.floats(0.1, 60),
)
def test_what_is_chosen_is_offered_and_no_better_one_is_left(formats, width_px, height_px, fps):
    asked = offer(**{name: [(size, sorted(rates)) for size, rates in sizes] for name, sizes in formats.items()})
    found = choices(asked, width_px, height_px, fps)
    offered = {(one.fourcc, size.width_px, size.height_px) for one in asked.formats for size in one.sizes}
    for one in found:
        told = next(each for each in asked.formats if each.fourcc == one.fourcc).sizes
        assert not told or (one.fourcc, one.width_px, one.height_px) in offered
        assert one.rates_hz
        if len(one.rates_hz) > 1:
            assert one.rates_hz[0] >= SLACK * fps
    if found and any(size == (width_px, height_px) for _, *size in offered):
        readable = [one for one in offered if one[0] != "H264" and one[1:] == (width_px, height_px)]
        if readable:
            assert (found[0].width_px, found[0].height_px) == (width_px, height_px)


def test_lists_in_sentences_are_short():
    many = offer(**{f"F{number:03d}": [] for number in range(100)})
    assert formats_text(many.formats).endswith(", …")
    assert len(formats_text(many.formats).encode()) <= MAX_TEXT_BYTES
    sizes = offer(MJPG=[((16 * step, 9 * step), [30]) for step in range(1, 100)])
    assert sizes_text(sizes.formats).startswith("16 x 9, 32 x 18, ")
    assert len(sizes_text(sizes.formats).encode()) <= MAX_TEXT_BYTES
    ranged = Format("YUYV", "", (Size(*VGA),), Span((32, 2592, 2), (32, 1944, 2)))
    assert sizes_text([ranged]) == "32 x 32 to 2592 x 1944"
