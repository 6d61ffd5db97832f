"""Runs inside the virtual machine as the service: edged with a part that fails when a test asks for it.

A composition root of the tests' own; edged itself has no hook for it. What shall fail is a word in the file `fault` of
the unit's runtime folder, which is taken away when it is read:

    inference   the next invoke() never returns
    network     paho's network threads end, each one that comes after them, too
    memory      anonymous memory grows by 4 MiB a turn of the loop
"""

from __future__ import annotations

import ctypes
import dataclasses
import logging
import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, "/usr/lib/edged")

from edged import app
from edged.config import load
from edged.edges.tflite import Interpreter

STEP_BYTES = 4 << 20


class Faults:
    """What fails from now on."""

    def __init__(self) -> None:
        self._file = Path(os.environ["RUNTIME_DIRECTORY"], "fault")
        self._words: set[str] = set()
        self._held: list[bytearray] = []

    def turn(self, _report: object) -> None:
        """After each turn of the loop."""
        if self._file.exists():
            self._words.add(self._file.read_text(encoding="ascii").strip())
            self._file.unlink()
        if "memory" in self._words:
            self._held.append(bytearray(os.urandom(1 << 16) * (STEP_BYTES >> 16)))
        if "network" in self._words:
            for thread in threading.enumerate():
                # While it waits for the network: with a lock, its death would hang the loop as well.
                if thread.name.startswith("paho-mqtt-client") and _place(thread) == "_loop":
                    _end(thread)

    def inference(self) -> None:
        """Before each invoke()."""
        if "inference" in self._words:
            threading.Event().wait()


def _place(thread: threading.Thread) -> str:
    """The function that it is in."""
    frame = sys._current_frames().get(thread.ident or 0)
    return "" if frame is None else frame.f_code.co_name


def _end(thread: threading.Thread) -> None:
    """Has it raise SystemExit at its next step, which ends a thread without a word."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))


class FaultyInterpreter(Interpreter):
    """An interpreter with something in front of invoke()."""

    def __init__(self, model_path: Path, faults: Faults) -> None:
        super().__init__(model_path, 1)
        invoke = self.invoke

        def hang_or_invoke() -> None:
            faults.inference()
            invoke()

        self.invoke = hang_or_invoke


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    stop, faults = threading.Event(), Faults()
    with app.stop_on_signals(stop):
        config = load(Path(sys.argv[1]))
        fitted = app.fit(config)
        interpreter = FaultyInterpreter(fitted.package.model_path, faults)
        app.run(config, dataclasses.replace(fitted, interpreter=interpreter), stop, on_turn=faults.turn)


if __name__ == "__main__":
    main()
