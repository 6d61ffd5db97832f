"""The process of a cell, from this side: its start, the frames to and from it, and each of its ends as one sentence.

Law: a frame's length is believed only up to what is expected. Whatever it does, it ends in its time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edged.core.errors import ModelError, RunError
from edged.edges.tflite_inmate import LENGTH

GRACE_S = 2.0
AGAIN = "get the file again from whoever made it"

START = "import sys; sys.path.insert(0, sys.argv[1]); from edged.edges.tflite_inmate import main; main()"
"""As `-m` would do it, wherever edged lies; -I keeps the user's packages and the current folder out."""
KEPT = ("PATH", "LD_LIBRARY_PATH", "QEMU_CPU")
"""Of the environment, in which there may be secrets. The last one says what processor an emulator is: there as here."""


@dataclass(frozen=True)
class Bounds:
    """What a model may take while it is tried.

    Attributes:
        memory_bytes: of address space beyond what the runtime itself takes, the file among it.
        cpu_s: of processor time.
        wall_s: from the start of the process to its end.
    """

    memory_bytes: int
    cpu_s: int = 30
    wall_s: float = 90.0

    @property
    def too_much(self) -> str:
        """What to say of a model that wants more memory."""
        return f"and a model may take {self.memory_bytes / 1e6:.0f} MB here; take a smaller one"


class CellProcess:
    """A process that loads one model and can do nothing else.

    Args:
        model_path: the file, which is opened here and read there.
        sha256: that its bytes must have.
        known: a model that is certain to load.
        known_picture: a picture that is certain to be decoded, where any will be.
        bounds: what it may take.
        start: what Python runs there.

    Attributes:
        name: the model's folder and file, for sentences.

    Raises:
        ModelError: the file cannot be read, or is too large to be tried.
        RunError: no process can be started.
    """

    def __init__(
        self,
        model_path: Path,
        sha256: str,
        known: Path,
        known_picture: Path | None,
        bounds: Bounds,
        start: str = START,
    ) -> None:
        self.name = f"{model_path.parent.name}/{model_path.name}"
        self.bounds = bounds
        self._late = False
        limits = [str(bounds.memory_bytes), str(bounds.cpu_s)]
        try:
            with model_path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > bounds.memory_bytes:
                    size_mb = os.fstat(file.fileno()).st_size / 1e6
                    raise ModelError(f"{self.name}: has {size_mb:.0f} MB, {bounds.too_much}")
                number = file.fileno()
                self._process = self._start(
                    start, [str(known.absolute()), str(number), sha256, *limits, str(known_picture or "")], number
                )
        except OSError as error:
            raise ModelError(f"{model_path}: cannot be read ({error.strerror})") from None
        self._alarm = threading.Timer(bounds.wall_s, self._expire)
        self._alarm.daemon = True
        self._alarm.start()

    def close(self) -> None:
        """Ends it."""
        self._alarm.cancel()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # of what was not sent yet
                pipe.close()  # type: ignore[union-attr]

    def send(self, data: bytes) -> None:
        """A frame to it.

        Raises:
            ModelError, RunError: it has ended.
        """
        try:
            self._process.stdin.write(LENGTH.pack(len(data)) + data)  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            self._tell_end()

    def hear(self, most_bytes: int) -> bytes:
        """The next frame from it.

        Raises:
            ModelError: it has ended, or the frame is longer than it may be.
            RunError: it has ended, for no fault of the model's.
        """
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        if length > most_bytes:
            self.refuse_answer()
        return self._read(length)

    def refuse_answer(self) -> NoReturn:
        """It said what it never says by itself."""
        raise ModelError(f"{self.name}: gave an answer that no model gives when it was tried; {AGAIN}")

    def _start(self, start: str, words: list[str], descriptor: int) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        try:
            return subprocess.Popen(  # noqa: S603 - this interpreter, and our own code
                [sys.executable, "-I", "-c", start, str(Path(__file__).parents[2]), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[descriptor],
                cwd="/",
                # One thread: the others of OpenBLAS would be of no use, and each takes address space.
                env={**environment, "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError as error:
            raise RunError(
                f"{self.name}: no process can be started to try it in ({error.strerror}); is there memory?"
            ) from None

    def _read(self, count: int) -> bytes:
        data = self._process.stdout.read(count)  # type: ignore[union-attr]
        if len(data) != count:
            self._tell_end()
        return data

    def _expire(self) -> None:
        self._late = True
        self._process.kill()

    def _tell_end(self) -> NoReturn:
        """Its pipe is closed, as by its end."""
        bounds = self.bounds
        try:
            code = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.refuse_answer()
        if self._late:
            raise ModelError(f"{self.name}: did not load and run within {bounds.wall_s:g} s; take a smaller model")
        if code == -signal.SIGXCPU:
            raise ModelError(
                f"{self.name}: did not load and run within {bounds.cpu_s} s of processor time; take a smaller model"
            )
        if code == -signal.SIGKILL:
            raise RunError(f"{self.name}: its trial was killed (SIGKILL), as when memory is short; try it again")
        if code < 0:
            word = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
            raise ModelError(
                f"{self.name}: it crashes the runtime ({word}): it is damaged, hostile, or too large for the "
                f"{bounds.memory_bytes / 1e6:.0f} MB that a model may take here; {AGAIN}"
            )
        raise ModelError(
            f"{self.name}: the process in which it was tried ended with code {code}; is edged installed whole?"
        )
