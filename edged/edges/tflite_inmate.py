"""The process in which a model that was never loaded here is tried, see `tflite_cell`.

Law: warm up on a model that is known, read the bytes, shut itself in, and only then parse: in this order. What the
runtime would open by and by (libraries, /proc/cpuinfo) it has opened by then. Nothing more is imported than is needed,
for the start of it is what a person waits for.

A frame, either way, is four bytes with its length and then its bytes. It says first what the tensors are. Then it is
asked: for a frame that begins with TENSOR, it runs the network on that input and says how long that took and each
output tensor; for one that begins with PICTURE, it decodes a file's bytes and says the size and the pixels. Where
something cannot be done it says what, and ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter

LENGTH = struct.Struct("!I")
TENSOR, PICTURE = b"T", b"P"
NOBODY = 65534
MAX_REASON = 300


def main() -> None:
    """Arguments: a known model, a descriptor of the unknown one, its sha256, bytes, seconds, a known picture.

    The known picture is empty where none will be asked for.
    """
    known, descriptor, sha256, memory_bytes, cpu_s, known_picture = sys.argv[-6:]
    _warm_up(Path(known))
    decode = _decoder(Path(known_picture)) if known_picture else None
    used_bytes = address_space_bytes()
    with open(int(descriptor), "rb") as file:  # noqa: PTH123 - a descriptor has no path
        content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        _end("changed", "")
    try:
        confine(used_bytes + int(memory_bytes), int(cpu_s))
    except (OSError, ValueError) as error:
        _end("limits", str(error))
    _serve(content, decode)


def _serve(content: bytes, decode: Callable[[bytes], NDArray[Any]] | None) -> None:
    interpreter, told = _attempt("load", partial(_described, content))
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    _say(told)
    while data := _hear():
        asked = data[1:]
        if data[:1] == PICTURE and decode is not None:
            picture = _attempt("picture", partial(decode, asked))
            _say({"height": picture.shape[0], "width": picture.shape[1]})
            _send(picture.tobytes())
            continue
        interpreter.set_tensor(inputs[0]["index"], np.frombuffer(asked, inputs[0]["dtype"]).reshape(inputs[0]["shape"]))
        started_s = time.perf_counter()
        _attempt("run", interpreter.invoke)
        _say({"ms": (time.perf_counter() - started_s) * 1e3})
        for output in outputs:
            _send(interpreter.get_tensor(output["index"]).tobytes())


def confine(bound_bytes: int, cpu_s: int) -> None:
    """From here on this process opens nothing, writes no file, starts nothing, and has so much memory and time.

    Args:
        bound_bytes: of its whole address space.
        cpu_s: on top of what it has spent.

    Root becomes nobody first, for root could take every limit back.

    Raises:
        OSError, ValueError: a limit cannot be set, or does not bind: then nothing unknown may be parsed here.
    """
    if os.geteuid() == 0:
        # Where there is nobody, as in a container of one user, the last line here tells whether the limits bind.
        for step in (partial(os.setgroups, []), partial(os.setgid, NOBODY), partial(os.setuid, NOBODY)):
            with contextlib.suppress(OSError):
                step()
    spent = resource.getrusage(resource.RUSAGE_SELF)
    spent_s = int(spent.ru_utime + spent.ru_stime) + 1
    for limit, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
        # SIGXCPU says what it was; a second later comes SIGKILL.
        (resource.RLIMIT_CPU, spent_s + cpu_s, spent_s + cpu_s + 1),
        (resource.RLIMIT_AS, bound_bytes, bound_bytes),
        (resource.RLIMIT_NOFILE, 0, 0),
    ):
        highest = resource.getrlimit(limit)[1]
        lowest = [one if highest == resource.RLIM_INFINITY else min(one, highest) for one in (soft, hard)]
        resource.setrlimit(limit, (lowest[0], lowest[1]))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))
    except ValueError:
        return
    raise OSError("this process may take its limits back")


def address_space_bytes() -> int:
    """What RLIMIT_AS counts, of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _warm_up(known: Path) -> None:
    interpreter = _loaded(known.read_bytes())
    interpreter.invoke()
    interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    # The kernel ends this process first where memory is short, if it may be told so.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _decoder(known: Path) -> Callable[[bytes], NDArray[Any]]:
    from edged.core.errors import CameraError
    from edged.edges.camera_file_stills import still_in

    def decode(data: bytes) -> NDArray[Any]:
        try:
            return still_in(data)
        except CameraError as error:
            raise ValueError(error.text) from None

    decode(known.read_bytes())
    return decode


def _loaded(content: bytes) -> Any:
    interpreter: Any = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _described(content: bytes) -> tuple[Any, dict[str, Any]]:
    """The model, and what its tensors are."""
    interpreter = _loaded(content)
    operators: list[Any] = getattr(interpreter, "_get_ops_details", list)()
    return interpreter, {
        "inputs": [_told(one) for one in interpreter.get_input_details()],
        "outputs": [_told(one) for one in interpreter.get_output_details()],
        "xnnpack": any(one["op_name"] == "DELEGATE" for one in operators),
    }


def _attempt(what: str, step: Callable[[], Any]) -> Any:
    try:
        return step()
    except MemoryError:
        _end("memory", "")
    except Exception as error:  # noqa: BLE001 - of a damaged model the runtime makes errors of any kind
        _end(what, str(error) or type(error).__name__)


def _told(details: Any) -> dict[str, Any]:
    scale, zero_point = details["quantization"]
    return {
        "shape": [int(side) for side in details["shape"]],
        "dtype": np.dtype(details["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def _hear() -> bytes:
    """The next frame; empty where none comes any more."""
    head = sys.stdin.buffer.read(LENGTH.size)
    return sys.stdin.buffer.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""


def _send(data: bytes) -> None:
    sys.stdout.buffer.write(LENGTH.pack(len(data)) + data)
    sys.stdout.buffer.flush()


def _say(told: dict[str, Any]) -> None:
    _send(json.dumps(told).encode())


def _end(what: str, reason: str) -> NoReturn:
    _say({"trouble": what, "reason": reason[:MAX_REASON]})
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
