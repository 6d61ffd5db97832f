"""The privacy promise, followed with a canary: its pixels go through every command and every kind of end, and are found
nowhere in what was sent or written. See `tests/canary.py` for what is found, `tests/eavesdropping.py` for what is seen.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import paho.mqtt.publish
import pytest

from edged.cli import COMMANDS
from tests import eavesdropping
from tests.canary import SIZE, picture, search
from tests.conftest import CI, EMULATED
from tests.daemon import Listener, command, write_config
from tests.drawn import pictures
from tests.eavesdropping import Packets, Traced, listening_ports, read_trace
from tests.scenes import write_clip, write_picture

RULES = [
    {"label": label, "score_threshold": 0.5, "release_threshold": 0.4, "delay_on_s": 0.0, "delay_off_s": 0.0}
    for label in ("background", "circle")
]
"""The model takes the canary for background and a drawn circle for a circle: something happens all the time."""

LOUD = {
    "PYTHONFAULTHANDLER": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENCV_LOG_LEVEL": "DEBUG",
    "OPENBLAS_NUM_THREADS": "1",
}

DRIVER = """
import logging, sys
logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
import paho.mqtt.client as paho
plain = paho.Client.__init__
def loud(self, *words, **named):
    plain(self, *words, **named)
    self.enable_logger(logging.getLogger("paho"))
paho.Client.__init__ = loud
"""
"""Everything that has a logger says all it can say; `edged` leaves a logging that is already set up as it is."""

CRASH = """
import ctypes, os, resource
from edged.edges.tflite import TfliteClassifier
plain_invoke, left = TfliteClassifier.invoke, [10]
def invoke(self):
    left[0] -= 1
    if not left[0]:
        cores = resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3)  # PR_GET_DUMPABLE
        os.write(1, f"cores: {{cores}}\\n".encode())
        {fault}
    plain_invoke(self)
TfliteClassifier.invoke = invoke
"""


@pytest.fixture(autouse=True)
def _may_be_seen(request: pytest.FixtureRequest) -> None:
    if "folder" not in request.fixturenames:
        return
    if EMULATED:
        pytest.skip("nothing can be traced through the emulator, and nothing in it depends on the processor")
    reason = eavesdropping.why_not()
    if reason is not None and CI:
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of canaries and one of a circle, without loss."""
    (circle,) = pictures(["circle"])
    shown = [*(picture(turn) for turn in range(10)), *[cv2.resize(circle, SIZE)] * 10]
    return write_clip(tmp_path_factory.mktemp("clip") / "canary.avi", shown, 10.0)


@pytest.fixture
def packets(mosquitto) -> Iterator[Packets]:
    with Packets(mosquitto.port) as listening:
        yield listening


def loud(*arguments: object, more: str = "") -> list[str]:
    """A command line of edged with everything at debug level."""
    script = f"{DRIVER}\n{more}\nfrom edged.cli import main\nmain({list(map(str, arguments))!r})"
    return [sys.executable, "-c", script]


def clean(*watched: Traced, packets: Packets | None = None) -> None:
    """Fails where anything of the canary, or any picture, is in what was sent or written."""
    evidence = [item for one in watched for item in (*one.written().items(), *one.files().items())]
    if packets is not None:
        assert packets.lost == 0
        evidence += packets.streams().items()
    assert search(evidence) == []


def strays(one: Traced) -> set[str]:
    """What it opened to write outside its own folders, devices left aside."""
    own = (str(one.folder), "/dev/null", "/dev/tty", "/proc/self/")
    return {path for path in one.opened() if path.startswith("/") and not path.startswith(own)}


def test_a_day_with_everything_switched_on(folder, clip, own_mosquitto):
    """Events, commands, a broker that goes and comes back, and every logger at debug level."""
    broker = own_mosquitto()
    broker.start()
    config = write_config(folder / "e.toml", f"file:{clip}", broker.port, "canary", RULES, fps=10)
    root = "canary/test"
    with (
        Packets(broker.port) as packets,
        Traced(loud("run", "--config", config, "--print-events"), folder / "run", **LOUD) as daemon,
    ):
        with Listener(broker.host, broker.port, "canary") as listener:
            daemon.until(lambda: len(listener.payloads("test/event/circle")) > 1)
            for topic, payload in (
                (f"{root}/request/ping", b"{}"),
                (f"{root}/request/replay", b'{"from_seq": 1}'),
                (f"{root}/threshold/circle/set", b"0.02"),
                (f"{root}/request/nonsense", b"\x00 no JSON {" * 9),
            ):
                paho.mqtt.publish.single(topic, payload, hostname=broker.host, port=broker.port)
            listener.wait("test/response/replay")
            assert listening_ports(daemon.process.pid) == []
        broker.stop()
        daemon.until(lambda: "connection" in daemon.errors.split("request/replay")[-1], 60)
        before = daemon.output.count('"event_type"')
        daemon.until(lambda: daemon.output.count('"event_type"') > before, 60)
        broker.start()
        with Listener(broker.host, broker.port, "canary") as listener:
            listener.wait_state("test/pipeline", "running", 60)
            paho.mqtt.publish.single(
                f"{root}/request/pause", b'{"seconds": 60}', hostname=broker.host, port=broker.port
            )
            listener.wait_state("test/pipeline", "paused", 60)
            paho.mqtt.publish.single(f"{root}/request/resume", b"{}", hostname=broker.host, port=broker.port)
            listener.wait_state("test/pipeline", "running", 60)
            assert listening_ports(daemon.process.pid) == []
        assert daemon.stop() == 0, daemon.errors
    assert "DEBUG paho: " in daemon.errors, "the logging of this test is as loud as it says"
    assert packets.packets > 50
    streams = b"".join(packets.streams().values())
    assert b"canary/test/event/" in streams, "the packets are those of the daemon"
    assert b"canary/test/event/" in b"".join(daemon.written().values()), "and the calls as well"
    clean(daemon, packets=packets)
    assert strays(daemon) == daemon.shared() == set()
    assert daemon.listened() == set()
    assert daemon.peers() == {f"127.0.0.1:{broker.port}"}


def test_a_camera_whose_pictures_turn_to_rubbish(folder, mosquitto, prefix, packets):
    """A folder of pictures: whole, then torn off in the middle, then no pictures at all."""
    shown = folder / "pictures"
    shown.mkdir()
    for turn in range(6):
        write_picture(shown / f"{turn}.{('png', 'jpg')[turn % 2]}", picture(turn))
    config = write_config(folder / "e.toml", f"file:{shown}", mosquitto.port, prefix, RULES, fps=10)
    with (
        Listener(mosquitto.host, mosquitto.port, prefix) as listener,
        Traced(loud("run", "--config", config), folder / "run", **LOUD) as daemon,
    ):
        daemon.until(lambda: listener.payloads("test/event/background"))
        for path in sorted(shown.iterdir()):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        daemon.until(lambda: "left out" in daemon.errors)
        for path in sorted(shown.iterdir()):
            path.unlink()
            path.with_stem(f"no-{path.stem}").write_bytes(b"rubbish" * 100)
        listener.wait_state("test/pipeline", "camera_lost", 60)
        assert daemon.stop() == 0, daemon.errors
    clean(daemon, packets=packets)
    assert strays(daemon) == daemon.shared() == set()


SENSOR = """
from edged import parts
from tests.canary import picture
from tests.shots import shot
class Sensor:
    def __init__(self, path, width_px, height_px, fps, clock):
        self.clock, self.count = clock, 0
        self.shots = [shot(picture(turn), {encoding!r}) for turn in range(4)]
    def open(self):
        return self.shots[0][1]
    def grab(self):
        self.clock.sleep(0.1)
        self.count += 1
        return self.clock.monotonic()
    def retrieve(self, out):
        taken = self.shots[self.count % 4][0]
        size = taken.size_bytes if self.count % 20 else taken.size_bytes // 2
        out.data[:size] = taken.data[:size]
        out.size_bytes = size if {encoding!r} == "jpeg" else taken.size_bytes
    def close(self): ...
    def came_back(self):
        return False
parts.V4l2Source = Sensor
"""


@pytest.mark.parametrize("encoding", ["yuyv", "jpeg"])
def test_a_camera_that_delivers_raw_pictures(folder, mosquitto, prefix, packets, encoding):
    """What a USB camera gives, whole and torn, through the masks, the gate, the sight and the decoder."""
    config = write_config(
        folder / "e.toml", "v4l2:/dev/video0", mosquitto.port, prefix, RULES, fps=10, privacy_masks=[[0, 0, 0.1, 0.1]]
    )
    arguments = loud("run", "--config", config, more=SENSOR.format(encoding=encoding))
    with (
        Listener(mosquitto.host, mosquitto.port, prefix) as listener,
        Traced(arguments, folder / "run", **LOUD) as daemon,
    ):
        daemon.until(lambda: listener.payloads("test/event/background"))
        assert daemon.stop() == 0, daemon.errors
    clean(daemon, packets=packets)
    assert strays(daemon) == daemon.shared() == set()


FAULTS = {
    "a traceback": ("raise ValueError('planted')", 1),
    "a segmentation fault": ("import faulthandler; faulthandler._sigsegv()", -signal.SIGSEGV),
    "an abort": ("os.abort()", -signal.SIGABRT),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_crash_in_the_middle_of_the_loop(folder, clip, mosquitto, prefix, packets, fault):
    line, code = FAULTS[fault]
    config = write_config(folder / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES, pace="max")
    arguments = loud("run", "--config", config, more=CRASH.format(fault=line))
    with Traced(arguments, folder / "run", **LOUD) as daemon:
        assert daemon.wait() == code, daemon.errors
    assert ("Traceback" if code == 1 else "Fatal Python error") in daemon.errors
    assert code != 1 or "ValueError: planted" in daemon.errors
    assert "invoke" in daemon.errors, "it happened in the middle of the loop"
    assert "cores: ((0, 0), 0)" in daemon.output
    assert not list((folder / "run" / "cwd").iterdir()), "and indeed there is none"
    clean(daemon, packets=packets)
    assert strays(daemon) == daemon.shared() == set()


DEMO = """
from pathlib import Path
import edged.demo
assert edged.demo.CLIP.exists()
edged.demo.CLIP = Path({clip!r})
"""
BENCH = """
from edged.edges import camera_memory
from tests.canary import picture
plain_source = camera_memory.MemorySource.__init__
def init(self, *words, **named):
    plain_source(self, *words, **named)
    assert self.pictures[0].shape == picture().shape
    self.pictures = [picture(turn) for turn in range(4)]
camera_memory.MemorySource.__init__ = init
"""
GOLDEN = """
from pathlib import Path
from edged import proving
assert proving._golden
proving._golden = lambda package: [proving.Picture(Path(file), {{"circle": 0.5}}, 1.0) for file in {files!r}]
"""


def others(clip: Path, config: Path, stills: list[Path]) -> dict[str, tuple[list[str], str]]:
    """For every command but `run`, how it is made to meet the canary, and what it prints when it has."""
    return {
        "demo": (loud("demo", "--seconds", "3", more=DEMO.format(clip=str(clip))), "frames"),
        "check": (loud("check", "--config", config), "rule circle"),
        "classify": (loud("classify", "--model", "shapes-int8", "--json", *stills, clip), '"score"'),
        "bench": (
            loud("bench", "--model", "shapes-int8", "--frames", "40", "--threads", "1", more=BENCH),
            "CPU a frame",
        ),
        "watch": (loud("watch", "--config", config, "--all"), "pipeline running"),
        "forget": (loud("forget", "--config", config), "cleared"),
        "cameras": (loud("cameras"), ""),
        "doctor": (loud("doctor", "--config", config), "delivers"),
        "model": (
            loud("model", "use", "shapes-int8", more=GOLDEN.format(files=[str(still) for still in stills[:2]])),
            "shapes-int8",
        ),
    }


def test_every_command_is_followed(tmp_path):
    assert set(COMMANDS) - {"run"} <= set(others(tmp_path, tmp_path, []))


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"run"}))
def test_no_command_lets_a_picture_out(folder, clip, mosquitto, prefix, packets, name):
    stills = [write_picture(folder / f"canary.{suffix}", picture()) for suffix in ("png", "jpg")]
    stills.append(folder / "torn-off.png")
    stills[-1].write_bytes(stills[0].read_bytes()[:50_000])
    config = write_config(folder / "e.toml", f"file:{clip}", mosquitto.port, prefix, RULES)
    arguments, says = others(clip, config, stills)[name]
    with (
        Traced(command("run", "--config", config), folder / "run") as daemon,
        Listener(mosquitto.host, mosquitto.port, prefix) as listener,
    ):
        if name in ("watch", "forget"):  # they want something to be there
            listener.wait_state("test/pipeline", "running")
        if name == "forget":
            assert daemon.stop() == 0
        with Traced(arguments, folder / name, **LOUD) as one:
            if name == "watch":
                one.until(lambda: says in one.output)
                one.process.send_signal(signal.SIGTERM)
            assert one.wait() in (0, 1, -signal.SIGTERM), one.errors
        assert says in one.output, one.errors
    # What the demo's own broker keeps of it, and where a picture was asked for by name.
    evidence = one.written() | one.files() | packets.streams()
    if name == "model":
        # A golden picture goes into the process in which a model is tried and comes back as pixels. A pipe has no
        # name: both its ends are in processes that are followed.
        pipes = {target: evidence.pop(target) for target in list(evidence) if target.startswith("written to pipe:")}
        assert search(pipes.items())
    assert search(evidence.items()) == []
    assert strays(one) == one.shared() == set()


LEAKS = """
import base64, logging, mmap, os, sys, tempfile
import cv2, numpy, paho.mqtt.publish
from tests.canary import picture
seen = picture()
small = cv2.resize(cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY), (80, 60), interpolation=cv2.INTER_AREA)
name = os.path.join(tempfile.gettempdir(), "gone.jpg")
cv2.imwrite(name, seen)
os.unlink(name)
numpy.save("kept.npy", seen)
logging.warning("cannot classify %s", base64.b64encode(small).decode())
print(small.tolist())
paho.mqtt.publish.single({topic!r}, small.tobytes(), hostname="127.0.0.1", port={port})
os.close(os.open(small[30].tobytes().hex(), os.O_CREAT | os.O_WRONLY))
with open("mapped", "w+b") as file:
    file.truncate(seen.nbytes)
    mmap.mmap(file.fileno(), seen.nbytes)[:] = seen.tobytes()
"""


def test_the_eavesdropper_hears_every_kind_of_leak(folder, mosquitto, prefix, packets):
    """The same ears, and a program that does all that must never be done."""
    script = LEAKS.format(topic=f"{prefix}/leak", port=mosquitto.port)
    with Traced([sys.executable, "-c", script], folder / "leaky", PYTHONDONTWRITEBYTECODE="1") as leaky:
        assert leaky.wait() == 0, leaky.errors
    found = "\n".join(search([*leaky.written().items(), *leaky.files().items(), *packets.streams().items()]))
    tmp, cwd = leaky.folder / "tmp", leaky.folder / "cwd"
    for where in (
        f"written to {tmp}/gone.jpg: a picture file",
        f"written to {cwd}/kept.npy: pixels",
        f"written to {leaky.folder}/stderr: base64",
        f"written to {leaky.folder}/stdout: numbers",
        "names of files: hexadecimal",
        f"to {mosquitto.port}: pixels",
        f"{cwd}/mapped: pixels",
        "written to TCP:[",
    ):
        assert where in found, where
    assert f"{tmp}/gone.jpg" in leaky.opened()
    assert any("MAP_SHARED" in one for one in leaky.shared())
    assert f"127.0.0.1:{mosquitto.port}" in leaky.peers()


@pytest.mark.parametrize("hidden", ["os.memfd_create('x')", "os.sendfile(1, os.open('/dev/null', 0), 0, 1)"])
def test_what_would_hide_data_from_the_eavesdropper_is_a_failure(folder, hidden):
    with Traced([sys.executable, "-c", f"import os; {hidden}"], folder / "hider") as hider:
        hider.wait()
    with pytest.raises(AssertionError, match="hides what it moves"):
        hider.written()


def test_the_eavesdropper_sees_who_listens(folder):
    script = "import socket; one = socket.create_server(('127.0.0.1', 0)); print('on', flush=True); one.accept()"
    with Traced([sys.executable, "-c", script], folder / "server") as server:
        server.until(lambda: "on" in server.output)
        assert [one.split()[0] for one in listening_ports(server.process.pid)] == ["tcp"]
        server.stop(signal.SIGKILL)
    assert len(server.listened()) == 1


def test_a_string_that_strace_cut_short_is_a_failure():
    with pytest.raises(AssertionError, match="cut a string short"):
        list(read_trace(r'12 write(1<\x61>, "\x61\x62"..., 9) = 9'))
    (call,) = read_trace(r'12 write(1<\x61>, "\x62\x63", 2 <unfinished ...>')
    assert (call.pid, call.name, call.target, call.data) == (12, "write", "a", b"bc")
