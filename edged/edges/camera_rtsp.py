"""Network cameras by RTSP, through the FFmpeg that OpenCV brings along.

Law: the newest picture or a `CameraError`, never an old one and never an endless wait. TCP alone. The login is put
together for the moment of opening and kept nowhere; it is in no log line, no exception and nothing that OpenCV or
FFmpeg print, for which both are kept silent whatever the environment says.

Every picture is decoded where `key_frames_only` is off, since each builds on the one before; but only those that are
looked at are converted. With `rtsps:` the connection is encrypted and the camera's certificate is not checked: FFmpeg
does not by itself (measured with OpenCV 4.11 to 5.0), and cameras make theirs themselves.

OpenCV tells nothing of a picture's size after the opening. From 4.13 on it scales pictures of another size to the first
one, which fits regions and masks, as they are fractions; older ones show garbage or the last good picture.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import cv2

from edged.core.errors import CameraError, ConfigError
from edged.core.shot import PictureFormat, Shot
from edged.edges.camera_rtsp_lateness import Lateness
from edged.edges.camera_rtsp_question import Login, ask
from edged.ports import Clock

log = logging.getLogger("edged.camera")

LATE_S = 1.0
"""Pictures that came this much later than the stream's own time says are skipped."""
OPENING_PICTURES = 64
"""How many pictures may have piled up while FFmpeg examined the stream."""
BAD_PICTURES = 32
"""How many in a row may be damaged before the stream counts as ended; one that has ended says so at once each time."""
MAX_LOGIN_BYTES = 127
"""What FFmpeg's RTSP client keeps of user name, colon and password, percent-encoded; the rest it would drop."""

VERSION = tuple(int(part) for part in cv2.__version__.split(".")[:2])
IGNORES_OPTIONS = VERSION == (4, 11)
"""The wheel of OpenCV 4.11, and no other, was built without the parser for OPENCV_FFMPEG_CAPTURE_OPTIONS."""
LOSES_SIZE = VERSION < (4, 13)
PILE_S = 3.0
"""So long is skipped at most, whatever the stream says of its time: an opening may not last."""


class RtspSource:
    """A `Source` that plays an RTSP stream.

    The options for FFmpeg can only be given by the environment of the process; they are set here, at construction,
    before there are threads that might read it at the same time. One process has one network camera.

    Args:
        url: rtsp: or rtsps:, without a login.
        username: None for a camera without a login.
        password: read anew for each opening, never kept.
        key_frames_only: no other picture is decoded: one in some seconds, as the camera is set, for little work.
        open_timeout_s, read_timeout_s: so long may an opening, and a picture, or any data between key frames, take.
        key_wait_s: so long is waited for a key frame while data come. Less than half of what counts as a hung driver.
        capture: `cv2.VideoCapture`, or what stands for it.

    Raises:
        ConfigError: the URL has no host, a port that is none, or a login.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        username: str | None = None,
        password: Callable[[], str | None] = lambda: None,
        key_frames_only: bool = False,
        *,
        open_timeout_s: float = 5.0,
        read_timeout_s: float = 5.0,
        key_wait_s: float = 20.0,
        capture: Callable[..., Any] = cv2.VideoCapture,
    ) -> None:
        _check(url)
        self._url = url
        self._clock = clock
        self._username = username
        self._password = password
        self._keys = key_frames_only
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        self._wait_s = max(read_timeout_s, key_wait_s) if key_frames_only else read_timeout_s
        self._factory = capture
        self._capture: Any = None
        self._format = PictureFormat(0, 0, "bgr")
        self._lateness = Lateness()
        self._first_s: float | None = None
        self._options = {"rtsp_transport": "tcp", "timeout": str(round(read_timeout_s * 1e6)), "tls_verify": "0"}
        # Not `fflags;nobuffer`: that drops what FFmpeg examined, and with it the first key frame, so that nothing could
        # be decoded before the second. Instead little is examined, and what piled up meanwhile is skipped.
        self._options["fpsprobesize"] = "0"
        if key_frames_only:
            self._options["avdiscard"] = "nonkey"
        self._prepare()
        if LOSES_SIZE:
            log.warning(
                "OpenCV %s shows wrong pictures once a network camera changes its size: use 4.13", cv2.__version__
            )
        if IGNORES_OPTIONS and key_frames_only:
            log.warning("OpenCV %s decodes all pictures to find the key frames: use another version", cv2.__version__)

    def open(self) -> PictureFormat:
        """Opens the stream and waits for its first picture that is not old: the size and form of all that follow.

        Raises:
            CameraError: with one sentence that says why, found out by a question of our own where need be.
        """
        self.close()
        login = self._login()
        self._prepare()
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(self._open_timeout_s * 1000)]
        options += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(self._wait_s * 1000)]
        options += [cv2.CAP_PROP_N_THREADS, 1]
        try:
            self._capture = self._factory(_with_login(self._url, login), cv2.CAP_FFMPEG, options)
            opened = self._capture.isOpened()
        except cv2.error:
            opened = False  # its text may hold the URL
        if not opened:
            self.close()
            raise CameraError(ask(self._url, login, self._open_timeout_s, self._clock))
        self._lateness = Lateness()
        self._read()
        if not self._keys:
            self._skip_the_pile()
        self._first_s = self._clock.monotonic()
        ok, picture = self._capture.retrieve()
        if not ok:
            raise CameraError("the camera's first picture cannot be decoded")
        self._format = PictureFormat(picture.shape[1], picture.shape[0], "bgr")
        return self._format

    def grab(self) -> float:
        """Waits for the next picture that is not old: when it came, monotonic seconds.

        Raises:
            CameraError: none came in time, the stream ended, or pictures come ever later than they were taken.
        """
        first_s, self._first_s = self._first_s, None
        if first_s is not None:
            return first_s
        began_s = now_s = self._clock.monotonic()
        while now_s - began_s <= self._wait_s:
            self._read()
            now_s = self._clock.monotonic()
            if self._lateness.update(now_s, self._stream_s()) < LATE_S:
                return now_s
        raise CameraError(
            "pictures come later and later, since this board or its network cannot follow the camera; set the camera's "
            "substream (the smaller one) as source, lower its rate, or set key_frames_only",
            "camera_fault",
        )

    def retrieve(self, out: Shot) -> None:
        """Converts the grabbed picture to BGR, (height, width, 3), in `out.data`.

        Raises:
            CameraError: there is none after all, or it has another size than at the opening.
        """
        width_px, height_px = self._format.width_px, self._format.height_px
        view = out.data[: self._format.size_bytes].reshape(height_px, width_px, 3)
        ok, picture = self._capture.retrieve(view)
        if not ok:
            raise CameraError("the camera's picture cannot be decoded", "camera_fault")
        if picture.shape != view.shape:
            found = f"from {width_px}x{height_px} to {picture.shape[1]}x{picture.shape[0]}"
            raise CameraError(f"the camera changed the size of its picture {found}; opening it anew", "camera_fault")
        if picture is not view:
            view[:] = picture
        out.size_bytes = self._format.size_bytes

    def close(self) -> None:
        """Ends the stream."""
        self._first_s = None
        capture, self._capture = self._capture, None
        if capture is not None:
            with contextlib.suppress(cv2.error):
                capture.release()

    def came_back(self) -> bool:
        """False: a network camera does not announce itself."""
        return False

    def _read(self) -> None:
        """Decodes the next picture, old or not."""
        began_s = self._clock.monotonic()
        bad = 0
        while bad <= BAD_PICTURES:
            if not self._capture.grab():
                bad += 1
            elif not (self._keys and IGNORES_OPTIONS) or self._capture.get(cv2.CAP_PROP_FRAME_TYPE) == ord("I"):
                return
            took_s = self._clock.monotonic() - began_s
            if took_s > 0.9 * (self._read_timeout_s if bad else self._wait_s):
                raise CameraError(self._silence(took_s))
        raise CameraError("the camera ended the stream; check its power, its network and for other viewers")

    def _silence(self, took_s: float) -> str:
        if self._keys and took_s > 0.9 * self._wait_s:
            return f"no key frame for {self._wait_s:g} s; set a shorter key frame (I-frame) interval in the camera"
        return f"no picture for {self._read_timeout_s:g} s; check the camera's power and network"

    def _skip_the_pile(self) -> None:
        """Skips what piled up during the opening: as long as the stream's time goes faster than ours."""
        now_s, stream_s = self._clock.monotonic(), self._stream_s()
        began_s = now_s
        for _ in range(OPENING_PICTURES):
            was_s, was_stream_s = now_s, stream_s
            self._read()
            now_s, stream_s = self._clock.monotonic(), self._stream_s()
            if 0.0 < stream_s - was_stream_s < 2.0 * (now_s - was_s) or now_s - began_s > PILE_S:
                return

    def _stream_s(self) -> float:
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0

    def _login(self) -> Login | None:
        if self._username is None:
            return None
        try:
            password = self._password() or ""
        except (OSError, ConfigError):
            # It was there at the start; somebody is changing it. What is raised names the path, which is not published.
            raise CameraError("[camera] password_file cannot be read, or holds no password; put it right") from None
        if any(ord(character) < 32 or ord(character) == 127 for character in self._username + password):
            raise CameraError("the camera's login holds a line break or another control character; take it out")
        if ":" in self._username:
            raise CameraError("[camera] username holds a colon, which no RTSP login can; take it out")
        if len(_encoded(self._username, password)) > MAX_LOGIN_BYTES:
            raise CameraError(
                f"the camera's login is too long: {MAX_LOGIN_BYTES} bytes fit, and characters other than letters and "
                "digits may count three or more; set a shorter password"
            )
        return self._username, password

    def _prepare(self) -> None:
        """Sets what OpenCV reads from the environment, where it is not yet so."""
        options = "|".join(f"{name};{value}" for name, value in self._options.items())
        # -8 is AV_LOG_QUIET: FFmpeg prints the login from its debug level on, and OpenCV the URL in some modes.
        wanted = {"OPENCV_FFMPEG_CAPTURE_OPTIONS": options, "OPENCV_FFMPEG_LOGLEVEL": "-8"}
        for name, value in wanted.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        # OpenCV 4.11 has it at one place, 4.13 and newer at another.
        set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
        set_level(0)  # silent


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("rtsp", "rtsps") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("[camera] source: expected rtsp://HOST:PORT/PATH or rtsps://…, found no host or no such port")
    if "@" in parts.netloc:
        raise ConfigError("[camera] source: a login inside the URL is refused; use username and password_file")


def _with_login(url: str, login: Login | None) -> str:
    if login is None:
        return url
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{_encoded(*login)}@{rest}"


def _encoded(username: str, password: str) -> str:
    # What may stand in a URL as it is does: FFmpeg's place for it is small.
    return ":".join(quote(part, safe="!$&'()*+,;=") for part in (username, password))
