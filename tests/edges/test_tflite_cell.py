"""A model in a process of its own: the same numbers as in this one, and each of its ends is one sentence."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.core.errors import ModelError, RunError
from edged.edges.tflite import Interpreter
from edged.edges.tflite_cell import MAX_TENSOR_BYTES, Cell
from edged.edges.tflite_process import Bounds
from edged.modelstore import bundled
from tests import hostile
from tests.conftest import EMULATED

KNOWN = bundled() / "shapes-int8" / "model.tflite"
CIRCLE = bundled() / "shapes-int8" / "golden" / "circle.png"
BOUNDS = Bounds(memory_bytes=128 << 20, cpu_s=20, wall_s=110.0)
ROOT = Path(__file__).parents[2]


def cell(path: Path = KNOWN, bounds: Bounds = BOUNDS, **more) -> Cell:
    return Cell(path, hashlib.sha256(path.read_bytes()).hexdigest(), KNOWN, bounds, **more)


@pytest.mark.parametrize("name", ["efficientnet-lite0-int8", "shapes-int8"])
def test_it_gives_what_the_interpreter_gives(name):
    path = bundled() / name / "model.tflite"
    here = Interpreter(path, 1)
    with cell(path) as there:
        assert (there.input, there.outputs, there.xnnpack) == (here.input, here.outputs, here.xnnpack)
        for seed in range(2):
            noise = np.random.default_rng(seed).integers(-128, 128, here.input.shape, np.int8)
            np.copyto(here.input_view(), noise)
            np.copyto(there.input_view(), noise)
            here.invoke()
            there.invoke()
            assert np.array_equal(here.output_views[0](), there.output_views[0]())
    assert len(there.times_ms) == 2
    assert min(there.times_ms) > 0


def test_a_picture_is_what_it_is_here():
    with cell(known_picture=CIRCLE) as there:
        assert np.array_equal(there.picture(CIRCLE), cv2.imread(str(CIRCLE)))
        with pytest.raises(ModelError, match=r"labels\.txt: it cannot be decoded as a picture"):
            there.picture(bundled() / "shapes-int8" / "labels.txt")


PROBE = """
import errno, json, os, resource, socket, sys
from edged.edges import tflite_inmate as inmate

written = open(sys.argv[2], "wb", buffering=0)
inmate._warm_up(inmate.Path(sys.argv[1]))
inmate.confine(inmate.address_space_bytes() + (64 << 20), 5)
found = {}
for name, step in {
    "open": lambda: open("/etc/hostname"),
    "open again": lambda: open("/proc/self/status"),
    "socket": socket.socket,
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "pipe": os.pipe,
    "fork": os.fork,
    "write": lambda: written.write(b"x"),
    "memory": lambda: bytearray(96 << 20),
    "more files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9)),
    "more time": lambda: resource.setrlimit(resource.RLIMIT_CPU, (99, 99)),
}.items():
    try:
        step()
        found[name] = "did"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
    except (MemoryError, ValueError) as error:
        found[name] = type(error).__name__
os.write(1, json.dumps(found).encode())
"""


def test_behind_its_limits_it_can_do_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, KNOWN, tmp_path / "file"], capture_output=True, timeout=120, cwd=ROOT, check=True
    )
    found = json.loads(done.stdout)
    if EMULATED:
        del found["memory"]  # QEMU does not pass this limit on, for it is itself in there
    else:
        assert found.pop("memory") == "MemoryError"
    none = errno.errorcode[errno.EMFILE]
    assert found == {
        "open": none,
        "open again": none,
        "socket": none,
        "unix socket": none,
        "pipe": none,
        "fork": "EAGAIN",
        "write": "EFBIG",
        "more files": "ValueError",
        "more time": "ValueError",
    }
    assert (tmp_path / "file").read_bytes() == b""


def test_a_limit_that_cannot_be_set_or_taken_back_ends_it():
    begin = "import resource, sys; sys.path.insert(0, sys.argv[1]); from edged.edges import tflite_inmate as inmate\n"
    refuses = "def refuse(*_): raise OSError('operation not permitted')\nresource.setrlimit = refuse\n"
    lax = "resource.setrlimit = lambda *_: None\n"
    for change, fragment in ((refuses, "operation not permitted"), (lax, "may take its limits back")):
        with pytest.raises(ModelError, match=f"this system does not give it them .*{fragment}"):
            cell(start=begin + change + "inmate.main()")


@pytest.mark.skipif(EMULATED, reason="QEMU does not pass this limit on")
def test_a_model_that_wants_too_much_memory_is_one_sentence(tmp_path):
    folder = shutil.copytree(bundled() / "shapes-int8", tmp_path / "bad")
    pytest.importorskip("ai_edge_litert.schema_py_generated")
    hostile.craft(folder, hostile.sides("input", 1, 2400, 2400, 3))
    with pytest.raises(ModelError, match=r"cannot load it|wants more memory|crashes the runtime"):
        cell(folder / "model.tflite", Bounds(16 << 20))
    with cell(folder / "model.tflite", Bounds(512 << 20)) as roomy:
        assert roomy.input.shape == (1, 2400, 2400, 3)


def test_tensors_of_too_many_bytes_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"its input and outputs have 300 MB, and edged takes up to 34 MB"):
        cell(start=answering(told(inputs=[{**TENSOR, "shape": [1, 10_000, 10_000, 3]}])))


def test_a_file_larger_than_its_memory_is_not_even_read():
    with pytest.raises(ModelError, match="has 0 MB, and a model may take 0 MB here"):
        cell(bounds=Bounds(1000))


@pytest.mark.skipif(EMULATED, reason="nothing in it depends on the processor")
def test_a_loop_without_an_end_ends(tmp_path):
    pytest.importorskip("ai_edge_litert.schema_py_generated")
    folder = shutil.copytree(bundled() / "shapes-int8", tmp_path / "bad")
    hostile.craft(folder, hostile.for_ever)
    with (
        cell(folder / "model.tflite", Bounds(128 << 20, cpu_s=1)) as endless,
        pytest.raises(ModelError, match="did not load and run within 1 s of processor time"),
    ):
        endless.invoke()
    with pytest.raises(ModelError, match="did not load and run within"):  # noqa: SIM117 - either may be late
        with cell(folder / "model.tflite", Bounds(128 << 20, cpu_s=100, wall_s=1.5)) as endless:
            endless.invoke()


def test_a_file_that_changed_meanwhile_is_refused():
    with pytest.raises(ModelError, match="was changed while it was read"):
        Cell(KNOWN, "0" * 64, KNOWN, BOUNDS)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        Cell(tmp_path / "none.tflite", "0" * 64, KNOWN, BOUNDS)


TENSOR = {"shape": [1, 2, 2, 3], "dtype": "int8", "scale": 0.5, "zero_point": 0}
TOLD = {"inputs": [TENSOR], "outputs": [TENSOR], "xnnpack": True}


def answering(*frames: bytes, last: str = "") -> str:
    """An inmate that says what it likes."""
    return (
        "import os, signal, struct, sys, time\n"
        f"for frame in {list(frames)!r}:\n"
        "    os.write(1, struct.pack('!I', len(frame)) + frame)\n"
        f"{last}\n"
        "sys.stdin.buffer.read()\n"
    )


def told(**changes: object) -> bytes:
    return json.dumps({**TOLD, **changes}).encode()


def tensor(**changes: object) -> bytes:
    return told(outputs=[{**TENSOR, **changes}])


@pytest.mark.parametrize(
    ("start", "fragment"),
    [
        (answering(b"{"), "gave an answer that no model gives"),
        (answering(b"[]"), "gave an answer that no model gives"),
        (answering(b"[" * 60_000), "gave an answer that no model gives"),
        (answering(b"x" * 100_000), "gave an answer that no model gives"),
        (answering(b'{"inputs": 1}'), "gave an answer that no model gives"),
        (answering(told(outputs=[1])), "gave an answer that no model gives"),
        (answering(told(outputs=[])), "expected one input and an output, found 1 and 0"),
        (answering(tensor(shape=[1, True])), "tensors of fixed sizes"),
        (answering(tensor(shape=[-1])), "tensors of fixed sizes"),
        (answering(tensor(shape=[1] * 9)), "tensors of fixed sizes"),
        (answering(tensor(shape=[10**9, 10**9])), f"takes up to {MAX_TENSOR_BYTES / 1e6:.0f} MB"),
        (answering(tensor(shape="1")), "gave an answer that no model gives"),
        (answering(tensor(dtype="object")), "expected tensors of numbers"),
        (answering(tensor(dtype="O")), "expected tensors of numbers"),
        (answering(b'{"trouble": "fire"}'), "gave an answer that no model gives"),
        (answering(b'{"trouble": "load", "reason": "a\\u001b[2Jb\\nc"}'), r"cannot load it \(a\[2Jb\)"),
        (answering(b'{"trouble": "memory"}'), "wants more memory"),
        (answering(last="os.close(1); time.sleep(99)"), "gave an answer that no model gives"),
        (answering(last="os.kill(os.getpid(), signal.SIGSEGV)"), r"crashes the runtime \(SIGSEGV\)"),
        (answering(last="os.abort()"), r"crashes the runtime \(SIGABRT\)"),
        (answering(last="sys.exit(3)"), "ended with code 3"),
    ],
)
def test_what_a_hostile_inmate_says_is_one_sentence(start, fragment):
    with pytest.raises(ModelError, match=fragment) as caught:
        cell(start=start)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("frames", "fragment"),
    [
        ([b'{"ms": "x"}'], "no model gives"),
        ([b'{"ms": NaN}'], "no model gives"),
        ([b'{"ms": 1.0}', b"x"], "changes its size"),
        ([b'{"ms": 1.0}', b"x" * 13], "changes its size"),
        ([b'{"trouble": "run", "reason": "stride"}'], r"cannot run it \(stride\)"),
    ],
)
def test_what_a_hostile_inmate_answers_to_a_run_is_one_sentence(frames, fragment):
    with cell(start=answering(told(), *frames)) as hostile_one, pytest.raises(ModelError, match=fragment):
        hostile_one.invoke()


def test_a_size_of_a_picture_is_not_believed():
    for size, fragment in (((10**9, 10**9), "pixels; give it the size"), ((0, 5), "no model"), ((True, 5), "no model")):
        frame = json.dumps({"height": size[0], "width": size[1]}).encode()
        with cell(start=answering(told(), frame)) as hostile_one, pytest.raises(ModelError, match=fragment):
            hostile_one.picture(CIRCLE)


def test_what_the_kernel_killed_is_no_fault_of_the_model():
    with pytest.raises(RunError, match=r"was killed \(SIGKILL\)"):
        cell(start=answering(last="os.kill(os.getpid(), signal.SIGKILL)"))


def test_no_process_is_no_fault_of_the_model(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RunError, match="no process can be started"):
        cell()


def test_it_gets_no_secret_of_the_environment(monkeypatch):
    monkeypatch.setenv("EDGED_SECRET", "x")
    start = "import os, sys; sys.exit(7 if 'EDGED_SECRET' in os.environ else 8)"
    with pytest.raises(ModelError, match="ended with code 8"):
        cell(start=start)
