"""A real RTSP server (GStreamer's) as a process of its own on loopback, with a counter in every picture.

Run by Debian's own python3, which has GStreamer's bindings; tests talk to it through `RtspServer`, which imports
nothing but the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

PYTHON = "/usr/bin/python3"
PACKAGES = "gir1.2-gst-rtsp-server-1.0 glib-networking gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly python3-gi"
"""What Debian calls the server, its TLS, its payloaders, its H.264 encoder and its bindings."""

BITS = 16
"""The counter: so many columns of equal width, dark for 0 and bright for 1, the highest bit on the left."""
DARK, BRIGHT = 40, 210


def missing() -> str | None:
    """Why there can be no server on this machine; None where there can."""
    needed = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
        "Gst.init(None); raise SystemExit(not all(map(Gst.ElementFactory.find, ('x264enc', 'rtph264pay', 'appsrc'))))"
    )
    if Path(PYTHON).exists():
        found = subprocess.run([PYTHON, "-Wignore", "-c", needed], capture_output=True, check=False)
        if found.returncode == 0:
            return None
    return f"no GStreamer RTSP server on this machine (apt install {PACKAGES})"


class RtspServer:
    """The server as a child process; it can be killed, frozen and thawed, and told to change its pictures.

    Args:
        options: of the command line below, as `width_px=320` for `--width_px 320`.

    Attributes:
        port: on loopback, its own; a server that is started again keeps it.
    """

    host = "127.0.0.1"

    def __init__(self, **options: object) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        scheme = "rtsps" if "certificate" in self._options else "rtsp"
        return f"{scheme}://{self.host}:{self.port}/camera"

    def start(self) -> None:
        """Starts it and waits until it listens."""
        assert self._process is None
        command = [PYTHON, "-Wignore", __file__, "--port", str(self.port)]
        for name, value in self._options.items():
            command += [f"--{name}", str(value)]
        # PYTHONPATH and the like belong to the tests' own interpreter.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._hears("listening")

    def tell(self, **change: Any) -> int:
        """Changes the pictures under way: `size=[width_px, height_px]`, `silent=True`, `black=True`.

        Returns:
            How many were made so far.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(change) + "\n")
        self._process.stdin.flush()
        return int(self._hears("made"))

    def stop(self) -> None:
        """Kills it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None

    def freeze(self) -> None:
        """Lets it hang: connections stay open and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _hears(self, word: str) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith(word), f"the RTSP server said {line!r} and ended with {self._process.poll()}"
        return line.removeprefix(word).strip()


class Pictures:
    """What the camera sees: I420, the counter alone or over a texture that moves."""

    def __init__(self, width_px: int, height_px: int, texture: str) -> None:
        self.size = [width_px, height_px]
        self.silent = self.black = False
        self.index = 0
        self._texture = texture
        self._noise = b""

    def next(self) -> bytes:
        width_px, height_px = self.size
        if self.black:
            return bytes([16]) * (width_px * height_px) + bytes([128]) * (width_px * height_px // 2)
        bit_px = width_px // BITS
        bits = (self.index >> bit & 1 for bit in reversed(range(BITS)))
        row = b"".join(bytes([BRIGHT if bit else DARK]) * bit_px for bit in bits).ljust(width_px, bytes([DARK]))
        if self._texture == "moving":
            luma = row * (height_px // 8) + self._moving(width_px, height_px - height_px // 8)
        else:
            luma = row * height_px
        self.index += 1
        return luma + bytes([128]) * (width_px * height_px // 2)

    def _moving(self, width_px: int, height_px: int) -> bytes:
        if not self._noise:
            state, line = 1, bytearray()
            for _ in range(height_px * 3 + width_px):
                state = (state * 1103515245 + 12345) & 0x7FFFFFFF
                line += bytes([60 + state % 130]) * 5
            self._noise = bytes(line)
        first = self.index * 7 % width_px
        # Each line starts a little further on: slanted bars of changing brightness, which wander.
        return b"".join(self._noise[first + y * 3 : first + y * 3 + width_px] for y in range(height_px))


def main() -> None:
    """The server's own process: says `listening`, then answers each line, a JSON object, with `made` and a number."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--width_px", type=int, default=320)
    parser.add_argument("--height_px", type=int, default=240)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--key_interval", type=int, default=10, help="pictures from one key frame to the next")
    parser.add_argument("--texture", choices=("none", "moving"), default="none")
    parser.add_argument("--media", choices=("video", "audio"), default="video")
    parser.add_argument("--auth", choices=("none", "basic", "digest"), default="none")
    parser.add_argument("--username", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--certificate", help="PEM with its key: rtsps")
    _serve(parser.parse_args())


def _serve(args: argparse.Namespace) -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    pictures = Pictures(args.width_px, args.height_px, args.texture)
    server = GstRtspServer.RTSPServer(address=RtspServer.host, service=str(args.port))
    factory = GstRtspServer.RTSPMediaFactory()
    # One camera for all who look, as a real one is.
    factory.set_shared(True)
    if args.media == "audio":
        factory.set_launch("( audiotestsrc is-live=true ! audioconvert ! rtpL16pay name=pay0 )")
    else:
        encoder = (
            f"x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={args.key_interval} bitrate=4000"
        )
        source = "appsrc name=pictures is-live=true format=time do-timestamp=true block=false"
        payloader = "rtph264pay name=pay0 pt=96 config-interval=-1"
        factory.set_launch(f"( {source} ! {encoder} option-string=scenecut=0 ! {payloader} )")
        factory.connect("media-configure", lambda _, media: _feed(media, pictures, args.fps))
    if args.auth != "none" or args.certificate:
        auth = GstRtspServer.RTSPAuth()
        if args.certificate:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(args.certificate))
        _protect(auth, factory, args, GstRtsp, GstRtspServer)
        server.set_auth(auth)
    server.get_mount_points().add_factory("/camera", factory)
    if server.attach(None) == 0:
        raise SystemExit("no port")
    loop = GLib.MainLoop()

    def heard(stream: Any, condition: Any) -> bool:
        line = sys.stdin.readline()
        if not line:
            loop.quit()
            return False
        for name, value in json.loads(line).items():
            setattr(pictures, name, value)
        print("made", pictures.index, flush=True)
        return True

    GLib.io_add_watch(0, GLib.IO_IN | GLib.IO_HUP, heard)
    print("listening", flush=True)
    loop.run()


def _protect(auth: Any, factory: Any, args: argparse.Namespace, rtsp: Any, rtsp_server: Any) -> None:
    role = "viewer"
    token = rtsp_server.RTSPToken()
    token.set_string("media.factory.role", role)
    permissions = rtsp_server.RTSPPermissions()
    for permission in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role(role, permission, True)
    if args.auth == "basic":
        auth.set_supported_methods(rtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(auth.make_basic(args.username, args.password), token)
    elif args.auth == "digest":
        auth.set_supported_methods(rtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(args.username, args.password, token)
    else:
        auth.set_default_token(token)
    factory.set_permissions(permissions)


def _feed(media: Any, pictures: Pictures, fps: int) -> None:
    from gi.repository import GLib, Gst

    source = media.get_element().get_by_name_recurse_up("pictures")
    told: list[int] = []

    def tick() -> bool:
        nonlocal told
        if pictures.silent:
            return True
        if told != pictures.size:
            told = list(pictures.size)
            width_px, height_px = told
            raw = f"video/x-raw,format=I420,width={width_px},height={height_px},framerate={fps}/1"
            source.set_property("caps", Gst.Caps.from_string(raw))
        taken = source.emit("push-buffer", Gst.Buffer.new_wrapped(pictures.next()))
        return bool(taken == Gst.FlowReturn.OK)

    GLib.timeout_add(1000 // fps, tick)


if __name__ == "__main__":
    main()
