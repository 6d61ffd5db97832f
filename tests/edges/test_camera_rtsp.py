"""Network cameras, met as GStreamer's RTSP server on loopback; what no server does on demand is faked at the socket."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from edged.core.errors import CameraError, ConfigError
from edged.core.shot import PictureFormat, Shot
from edged.core.types import Blind, Frame
from edged.edges import camera_rtsp, camera_rtsp_question
from edged.edges.camera import CaptureCamera
from edged.edges.camera_rtsp import RtspSource
from edged.edges.camera_rtsp_lateness import Lateness
from edged.edges.clock import SystemClock
from tests.certificates import openssl
from tests.conftest import CI, EMULATED
from tests.fakes import FakeClock, until
from tests.rtsp_server import BITS, RtspServer, missing

FPS = 25
PLAIN = ("viewer", "secret-of-the-porch")
ODD = ("vi@ew/er%41", "a:b@c/d?e#f%20 g+h&i;j|k=l'm[n]ö")


@pytest.fixture(scope="module")
def _gstreamer() -> None:
    reason = missing()
    if reason is not None:
        # Under emulation the encoder takes longer than the time-outs that are tested.
        if CI and not EMULATED:
            pytest.fail(reason)
        pytest.skip(reason)


def opencv_log() -> Any:
    """Where this version of OpenCV keeps its log level."""
    return cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a source sets for its process does not outlive the test."""
    for name in ("OPENCV_FFMPEG_CAPTURE_OPTIONS", "OPENCV_FFMPEG_LOGLEVEL"):
        monkeypatch.setenv(name, "")
    level = opencv_log().getLogLevel()
    yield
    opencv_log().setLogLevel(level)


@pytest.fixture
def camera(_gstreamer: None) -> Iterator[Callable[..., RtspServer]]:
    """Starts servers for one test: camera(fps=25, …)."""
    servers: list[RtspServer] = []

    def start(**options: object) -> RtspServer:
        servers.append(RtspServer(**{"fps": FPS, **options}))
        servers[-1].start()
        return servers[-1]

    try:
        yield start
    finally:
        for server in servers:
            server.stop()


@contextmanager
def playing(url: str, login: tuple[str, str] | None = None, **options: Any) -> Iterator[RtspSource]:
    """A source for the length of a `with`, not yet open."""
    username, password = login or (None, None)
    options = {"open_timeout_s": 5.0, "read_timeout_s": 5.0, **options}
    source = RtspSource(url, SystemClock(), username, lambda: password, **options)
    try:
        yield source
    finally:
        source.close()


def shot(look: PictureFormat) -> Shot:
    return Shot(np.zeros(look.size_bytes, np.uint8), 0, 0.0)


def counter(look: PictureFormat, out: Shot) -> int:
    """The number that the server wrote into the picture."""
    picture = out.data[: look.size_bytes].reshape(look.height_px, look.width_px, 3)
    columns = (np.arange(BITS) * 2 + 1) * (look.width_px // BITS) // 2
    bits = picture[look.height_px // 16, columns, 1] > 125
    return int(sum(1 << place for place, bit in enumerate(reversed(bits.tolist())) if bit))


def number(source: RtspSource, look: PictureFormat, out: Shot) -> int:
    source.grab()
    source.retrieve(out)
    return counter(look, out)


def why(source: RtspSource) -> str:
    with pytest.raises(CameraError) as caught:
        source.open()
    assert str(caught.value) == caught.value.text
    return caught.value.text


def trouble(source: RtspSource) -> CameraError:
    """What ends the stream; what was on its way comes first."""
    for _ in range(1000):
        try:
            source.grab()
        except CameraError as error:
            return error
    pytest.fail("1000 pictures and no trouble")


def test_pictures_come_in_order_into_the_given_buffer(camera: Callable[..., RtspServer]) -> None:
    with playing(camera(width_px=320, height_px=240).url) as source:
        before_s = SystemClock().monotonic()
        look = source.open()
        assert look == PictureFormat(320, 240, "bgr")
        out, times, numbers = shot(look), [before_s], []
        for _ in range(10):
            times.append(source.grab())
            source.retrieve(out)
            numbers.append(counter(look, out))
        assert out.size_bytes == look.size_bytes
        assert numbers == list(range(numbers[0], numbers[0] + 10))
        assert times == sorted(times)
        assert times[-1] <= SystemClock().monotonic()


def test_a_buffer_that_is_larger_keeps_its_rest(camera: Callable[..., RtspServer]) -> None:
    with playing(camera().url) as source:
        look = source.open()
        out = Shot(np.full(look.size_bytes + 100, 7, np.uint8), 0, 0.0)
        source.grab()
        source.retrieve(out)
        assert (out.data[look.size_bytes :] == 7).all()


def test_what_piled_up_while_the_stream_was_opened_is_skipped(camera: Callable[..., RtspServer]) -> None:
    server = camera(fps=10, key_interval=100)
    with playing(server.url) as source:
        look = source.open()
        seen = number(source, look, shot(look))
        # FFmpeg examines at least 7 pictures before the opening is done.
        assert server.tell() - seen <= 4


def test_after_a_pause_the_next_picture_is_a_new_one(camera: Callable[..., RtspServer]) -> None:
    server = camera(key_interval=50)
    with playing(server.url) as source:
        look = source.open()
        out = shot(look)
        for _ in range(5):
            seen = number(source, look, out)
        until(lambda: server.tell() >= seen + 5 * FPS)
        seen = number(source, look, out)
        assert server.tell() - seen <= 1.6 * FPS


def test_a_loop_that_pauses_gets_the_newest_frame(camera: Callable[..., RtspServer]) -> None:
    server = camera(key_interval=50)
    with CaptureCamera(RtspSource(server.url, SystemClock()), SystemClock(), FPS) as capturing:
        for _ in range(3):
            frame = None
            while not isinstance(frame, Frame):
                frame = capturing.newest(1.0)
                assert not isinstance(frame, Blind), frame
            look = PictureFormat(frame.pixels.shape[1], frame.pixels.shape[0], "bgr")
            made = server.tell()
            assert made - counter(look, Shot(frame.pixels.reshape(-1), look.size_bytes, frame.t_s)) <= FPS
            until(lambda made=made: server.tell() >= made + 3 * FPS)  # type: ignore[misc]


def test_only_key_frames_are_decoded(camera: Callable[..., RtspServer]) -> None:
    with playing(camera(key_interval=8).url, key_frames_only=True) as source:
        look = source.open()
        out = shot(look)
        numbers = [number(source, look, out) for _ in range(6)]
        assert numbers == list(range(numbers[0], numbers[0] + 48, 8))
        assert numbers[0] % 8 == 0


def test_a_new_size_is_taken_by_opening_anew(camera: Callable[..., RtspServer]) -> None:
    server = camera(key_interval=10, width_px=320, height_px=240)
    with playing(server.url) as source:
        look = source.open()
        assert (look.width_px, look.height_px) == (320, 240)
        server.tell(size=[480, 272])
        source.close()
        until(lambda: (source.open().width_px, source.close())[0] == 480)
        look = source.open()
        assert (look.width_px, look.height_px) == (480, 272)
        number(source, look, shot(look))


@pytest.mark.skipif(camera_rtsp.LOSES_SIZE, reason="OpenCV before 4.13 shows garbage or old pictures")
@pytest.mark.parametrize("size", [[640, 480], [160, 128]], ids=["larger", "smaller"])
def test_another_size_under_way_is_scaled_to_the_first(camera: Callable[..., RtspServer], size: list[int]) -> None:
    server = camera(key_interval=10, width_px=320, height_px=240)
    with playing(server.url) as source:
        look = source.open()
        out = shot(look)
        number(source, look, out)
        changed = server.tell(size=size)
        numbers: list[int] = []
        while not numbers or numbers[-1] < changed + 2 * FPS:
            numbers.append(number(source, look, out))
        assert numbers == sorted(set(numbers))


class FakeCapture:
    """A capture whose pictures all have one shape; `grabs` says for each grab whether there is one."""

    def __init__(self, shape: tuple[int, ...], grabs: Callable[[], bool] = lambda: True) -> None:
        self.shape = shape
        self.grabs = grabs
        self.released = False
        self.opened: list[Any] = []

    def __call__(self, *arguments: Any) -> FakeCapture:
        self.opened = list(arguments)
        return self

    def isOpened(self) -> bool:  # noqa: N802 - as OpenCV calls it
        return True

    def grab(self) -> bool:
        return self.grabs()

    def get(self, prop: int) -> float:
        return float(ord("I")) if prop == cv2.CAP_PROP_FRAME_TYPE else 0.0

    def retrieve(self, out: Any = None) -> tuple[bool, Any]:
        return True, np.zeros(self.shape, np.uint8)

    def release(self) -> None:
        self.released = True


def faked(capture: FakeCapture, **options: Any) -> RtspSource:
    return RtspSource("rtsp://127.0.0.1:1/x", FakeClock(), capture=capture, **options)


def test_a_size_that_opencv_tells_of_is_a_fault_that_names_both() -> None:
    capture = FakeCapture((240, 320, 3))
    source = faked(capture)
    look = source.open()
    source.grab()
    capture.shape = (480, 640, 3)
    with pytest.raises(CameraError, match="from 320x240 to 640x480") as caught:
        source.retrieve(shot(look))
    assert caught.value.reason == "camera_fault"


def test_a_damaged_picture_is_passed_over_and_an_ended_stream_is_an_error() -> None:
    answers = [True] * (camera_rtsp.OPENING_PICTURES + 1) + [False, False, True]
    source = faked(FakeCapture((240, 320, 3), lambda: answers.pop(0) if answers else False))
    source.open()
    source.grab()
    source.grab()
    assert answers == []
    assert "ended the stream" in trouble(source).text


def test_it_asks_for_tcp_time_outs_one_thread_and_key_frames() -> None:
    capture = FakeCapture((240, 320, 3))
    faked(capture, key_frames_only=True, open_timeout_s=3.0, read_timeout_s=4.0, key_wait_s=7.0).open()
    _, backend, flat = capture.opened
    asked = dict(zip(flat[::2], flat[1::2], strict=True))
    assert backend == cv2.CAP_FFMPEG
    assert asked[cv2.CAP_PROP_OPEN_TIMEOUT_MSEC] == 3000
    assert asked[cv2.CAP_PROP_READ_TIMEOUT_MSEC] == 7000
    assert asked[cv2.CAP_PROP_N_THREADS] == 1
    options = os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"].split("|")
    assert {"rtsp_transport;tcp", "timeout;4000000", "avdiscard;nonkey"} <= set(options)


def test_opencv_and_ffmpeg_are_kept_silent_whoever_wants_them_to_talk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "56")
    opencv_log().setLogLevel(6)
    faked(FakeCapture((240, 320, 3))).open()
    assert os.environ["OPENCV_FFMPEG_LOGLEVEL"] == "-8"
    assert opencv_log().getLogLevel() == 0


def test_the_password_is_read_for_each_opening_and_never_kept() -> None:
    capture = FakeCapture((240, 320, 3))
    passwords = ["first-one", "second/one"]
    source = faked(capture, username="viewer", password=lambda: passwords.pop(0))
    source.open()
    assert capture.opened[0] == "rtsp://viewer:first-one@127.0.0.1:1/x"
    source.open()
    assert capture.opened[0] == "rtsp://viewer:second%2Fone@127.0.0.1:1/x"
    assert "second" not in repr(vars(source))
    assert not source.came_back()


@pytest.mark.parametrize(
    ("login", "found"),
    [
        (("vie:wer", "x"), "a colon"),
        (("viewer", "pass\nword"), "a line break"),
        (("viewer", "ö" * 25), "too long"),
    ],
)
def test_a_login_that_ffmpeg_cannot_pass_on_is_refused(login: tuple[str, str], found: str) -> None:
    source = faked(FakeCapture((240, 320, 3)), username=login[0], password=lambda: login[1])
    text = why(source)
    assert found in text
    assert login[1] not in text


def test_a_password_file_that_cannot_be_read_is_one_sentence() -> None:
    def unreadable() -> str:
        raise ConfigError("edged.toml:5: camera.password_file: /nowhere/secret cannot be read")

    for password in (Path("/nowhere/secret").read_text, unreadable):
        text = why(faked(FakeCapture((2, 2, 3)), username="viewer", password=password))
        assert "password_file cannot be read" in text
        assert "nowhere" not in text


@pytest.mark.parametrize(
    "url", ["rtsp://", "rtsp:///x", "http://camera/x", "rtsp://camera:0/x", "rtsp://camera:99999/"]
)
def test_a_url_without_a_host_or_port_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected rtsp://"):
        RtspSource(url, FakeClock())


def test_a_login_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="username and password_file") as caught:
        RtspSource("rtsp://viewer:secret@camera/x", FakeClock())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("login", [PLAIN, ODD], ids=["plain", "odd"])
@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_logins(camera: Callable[..., RtspServer], auth: str, login: tuple[str, str]) -> None:
    username, password = login
    server = camera(auth=auth, username=username, password=password)
    with playing(server.url, login) as source:
        source.open()
    with playing(server.url, (username, password + "x")) as source:
        assert why(source) == camera_rtsp_question.LOGIN_REFUSED
    with playing(server.url) as source:
        assert why(source) == camera_rtsp_question.NEEDS_LOGIN
    with playing(server.url + "-of-the-neighbours", login) as source:
        assert why(source) == camera_rtsp_question.NO_STREAM


@pytest.mark.parametrize("auth", ["none", "basic", "digest"])
def test_sound_alone_is_no_video(camera: Callable[..., RtspServer], auth: str) -> None:
    username, password = ODD
    server = camera(media="audio", auth=auth, username=username, password=password)
    # What the stream holds is told to those alone who have a login: the question has to log in, too.
    with playing(server.url, None if auth == "none" else ODD) as source:
        assert why(source) == camera_rtsp_question.NO_VIDEO


def test_a_stream_without_a_picture_is_given_up(camera: Callable[..., RtspServer]) -> None:
    server = camera()
    with playing(server.url) as first, playing(server.url, open_timeout_s=1.0, read_timeout_s=1.0) as source:
        first.open()
        server.tell(silent=True)
        # FFmpeg may have learnt enough from the description to call that open.
        assert why(source) in (
            camera_rtsp_question.NO_PICTURE,
            "no picture for 1 s; check the camera's power and network",
        )


@pytest.mark.parametrize("key_frames_only", [False, True], ids=["all", "key frames"])
def test_a_frozen_camera_is_noticed_and_taken_up_again(
    camera: Callable[..., RtspServer], key_frames_only: bool
) -> None:
    server = camera()
    with playing(server.url, key_frames_only=key_frames_only, open_timeout_s=3.0, read_timeout_s=1.0) as source:
        source.open()
        server.freeze()
        assert trouble(source).text.startswith(("no picture for 1 s", "no key frame for"))
        source.close()
        assert why(source) == camera_rtsp_question.SILENT
        server.thaw()
        source.open()
        source.grab()


def test_a_camera_that_falls_silent_under_way_is_noticed(camera: Callable[..., RtspServer]) -> None:
    server = camera()
    with playing(server.url, read_timeout_s=1.0) as source:
        source.open()
        server.tell(silent=True)
        error = trouble(source)
    assert error.text.startswith("no picture for 1 s")
    assert error.reason == "camera_lost"


def test_a_camera_that_loses_power_is_noticed_and_taken_up_again(camera: Callable[..., RtspServer]) -> None:
    server = camera()
    with playing(server.url) as source:
        source.open()
        server.stop()
        assert "ended the stream" in trouble(source).text
        source.close()
        assert why(source) == camera_rtsp_question.REFUSED
        server.start()
        source.open()
        source.grab()


def test_a_key_frame_that_never_comes_is_told_apart(camera: Callable[..., RtspServer]) -> None:
    server = camera(key_interval=1000)
    with playing(server.url, key_frames_only=True, read_timeout_s=1.0, key_wait_s=2.0) as source:
        source.open()
        assert trouble(source).text.startswith("no key frame for 2 s")


@contextmanager
def answering(*answers: bytes | None) -> Iterator[int]:
    """A port that answers each connection's first bytes with the same; None: never. No answer at all: hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                for answer in answers:
                    connection.recv(4096)
                    if answer is not None:
                        connection.sendall(answer)
                if None not in answers:
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()
            thread.join(10)


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ((None,), camera_rtsp_question.SILENT),
        ((), camera_rtsp_question.HUNG_UP),
        ((b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",), camera_rtsp_question.NO_RTSP),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), camera_rtsp_question.NO_RTSP),
        ((b"\x00\x01\x02",), camera_rtsp_question.NO_RTSP),
        ((b"RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: 1\r\n\r\n",), "RTSP status 453"),
        ((b"RTSP/1.0 403 Forbidden\r\nCSeq: 1\r\n\r\n",), camera_rtsp_question.LOGIN_REFUSED),
    ],
)
def test_what_is_no_camera_is_told_in_one_sentence(answers: tuple[bytes | None, ...], found: str) -> None:
    with answering(*answers) as port, playing(f"rtsp://127.0.0.1:{port}/x", open_timeout_s=1.0) as source:
        assert found in why(source)


def test_a_host_that_does_not_resolve() -> None:
    # Longer than a name can be: no resolver is asked.
    with playing(f"rtsp://{'a' * 64}/x", open_timeout_s=1.0) as source:
        assert why(source) == camera_rtsp_question.NO_HOST


def test_a_resolver_that_knows_no_such_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    assert camera_rtsp_question.ask("rtsp://camera/x", None, 1.0, FakeClock()) == camera_rtsp_question.NO_HOST


def test_the_password_goes_out_in_clear_only_where_nothing_better_is_offered() -> None:
    heard: list[bytes] = []
    both = b'WWW-Authenticate: Basic realm="r"\r\nWWW-Authenticate: Digest realm="r", nonce="n"\r\n'

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            heard.append(connection.recv(4096))
            connection.sendall(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n" + both + b"\r\n")
            heard.append(connection.recv(4096))
            connection.sendall(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"
        assert camera_rtsp_question.ask(url, PLAIN, 5.0, SystemClock()) == camera_rtsp_question.LOGIN_REFUSED
        thread.join(10)
    assert b"Authorization" not in heard[0]
    assert b"Authorization: Digest " in heard[1]
    assert PLAIN[1].encode() not in heard[1]
    assert base64.b64encode(":".join(PLAIN).encode()) not in heard[1]


def test_tls_hides_the_stream_and_checks_no_certificate(camera: Callable[..., RtspServer], tmp_path: Path) -> None:
    key, certificate, both = (tmp_path / name for name in ("key.pem", "certificate.pem", "both.pem"))
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=another-host", "-days", "2"),
        *("-keyout", key, "-out", certificate),
    )
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    server = camera(certificate=both)
    with playing(server.url) as source:
        look = source.open()
        number(source, look, shot(look))
    with playing(server.url + "-of-the-neighbours") as source:
        assert why(source) == camera_rtsp_question.NO_STREAM


def test_tls_where_there_is_none(camera: Callable[..., RtspServer]) -> None:
    server = camera()
    with playing(server.url.replace("rtsp:", "rtsps:"), open_timeout_s=2.0) as source:
        assert why(source) == camera_rtsp_question.NO_TLS


LEAKY = """
import logging, sys, traceback
logging.basicConfig(level=logging.DEBUG)
from edged.core.errors import CameraError
from edged.edges.camera_rtsp import RtspSource
from edged.edges.clock import SystemClock
good, dead, username, password = sys.argv[1:]
wrong, lost = (good, password + "x"), (good + "-of-the-neighbours", password)
for url, secret in ((good, password), wrong, lost, (dead, password)):
    source = RtspSource(url, SystemClock(), username, lambda: secret, open_timeout_s=2.0, read_timeout_s=2.0)
    try:
        print(source.open(), source.grab())
    except CameraError as error:
        traceback.print_exc()
        print(repr(error), repr(source), vars(error))
    source.close()
print("the end", flush=True)
"""


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_no_login_is_ever_printed(camera: Callable[..., RtspServer], auth: str) -> None:
    username, password = ODD
    server = camera(auth=auth, username=username, password=password)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"rtsp://127.0.0.1:{taken.getsockname()[1]}/camera"
    # As chatty as a curious person can make it.
    chatty = {"OPENCV_LOG_LEVEL": "VERBOSE", "OPENCV_FFMPEG_LOGLEVEL": "56", "OPENCV_FFMPEG_DEBUG": "1"}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", LEAKY, server.url, dead, username, password],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **chatty, "PYTHONPATH": root},
        check=False,
        timeout=120,
    )
    said = done.stdout.decode(errors="replace")
    assert "PictureFormat(" in said
    assert camera_rtsp_question.LOGIN_REFUSED in said
    assert camera_rtsp_question.NO_STREAM in said
    assert camera_rtsp_question.REFUSED in said
    assert "the end" in said
    whole = f"{username}:{password}"
    secrets = [username, password, "@127.0.0.1", base64.b64encode(whole.encode()).decode()]
    secrets += [quote(part, safe=safe) for part in (username, password) for safe in ("", "/", "!$&'()*+,;=")]
    assert [secret for secret in secrets if secret in said] == []


@pytest.mark.parametrize(
    ("pictures", "late_s"),
    [
        ([(10.0, 0.0), (11.0, 1.0), (12.0, 2.0)], 0.0),
        ([(10.0, 0.0), (15.0, 1.0)], 4.0),
        ([(10.0, 0.0), (15.0, 1.0), (15.1, 5.0)], 0.1),
        ([(15.0, 1.0), (15.1, 2.0), (15.2, 3.0)], 0.0),
        ([(10.0, 0.0), (90.0, 0.0)], 0.0),
        ([(10.0, 0.0), (10010.0, 9991.0)], 0.0),
    ],
    ids=["punctual", "late", "caught up", "piled up before the first", "no time of its own", "a slow clock"],
)
def test_lateness(pictures: list[tuple[float, float]], late_s: float) -> None:
    lateness = Lateness()
    found = [lateness.update(now_s, stream_s) for now_s, stream_s in pictures]
    assert found[-1] == pytest.approx(late_s, abs=0.02)


def test_a_stream_that_falls_ever_further_behind_is_a_fault() -> None:
    clock, capture = FakeClock(), FakeCapture((240, 320, 3))
    source = RtspSource("rtsp://127.0.0.1:1/x", clock, capture=capture)
    source.open()
    stream_s = [0.0]

    def slow() -> bool:
        stream_s[0] += 0.1
        clock.advance(0.5)
        return True

    capture.grabs = slow
    capture.get = lambda prop: stream_s[0] * 1000.0  # type: ignore[method-assign]
    error = trouble(source)
    assert "later and later" in error.text
    assert error.reason == "camera_fault"
