"""A Debian 13 arm64 machine in QEMU, driven through virtio-serial.

Law: nothing outside is reached from it (see hardware.py), and it dies with the process that made it. No limit here is
a measurement: emulation on a shared machine is ten times slower on one day than on another, so limits only end what
hangs.
"""

from __future__ import annotations

import base64
import itertools
import json
import shlex
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.vm.hardware import Hardware
from tests.vm.monitor import Monitor
from tests.vm.port import MachineError, Port

BOOT_LIMIT_S = 600.0
COMMAND_LIMIT_S = 240.0

__all__ = ["Machine", "MachineError", "Program"]


class Machine:
    """One virtual machine, from `with` to its end.

    Args:
        hardware: what it is made of.
        folder: for what it says on its console.

    Attributes:
        began_s: when it was started, by this machine's monotonic clock.
    """

    def __init__(self, hardware: Hardware, folder: Path) -> None:
        self.hardware = hardware
        self.began_s = 0.0
        self._console = folder / "console.log"
        self._agent, self._program, self._managed = Port(), Port(), Port()
        self._ids = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: Monitor | None = None

    def __enter__(self) -> Self:
        """Starts it and waits until its agent answers; one that goes on from a saved state runs at once."""
        ends = [port.theirs.fileno() for port in (self._agent, self._program, self._managed)]
        # However this process ends, the machine ends: setpriv becomes QEMU and keeps its process id.
        command = ["setpriv", "--pdeathsig", "KILL"]
        command += self.hardware.command({"agent": ends[0], "program": ends[1]}, ends[2])
        self.began_s = time.monotonic()
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, pass_fds=ends
            )
        for port in (self._agent, self._program, self._managed):
            port.theirs.close()
        try:
            self._begin()
        except BaseException as error:
            self.kill()
            if isinstance(error, MachineError):
                raise MachineError(f"{error}; its console:\n{self.console()}") from error
            raise
        return self

    def _begin(self) -> None:
        self._monitor = Monitor(self._managed)
        if self.hardware.saved is not None:
            self._monitor.restore(self.hardware.saved)
            return
        hello = self._agent.receive(BOOT_LIMIT_S)
        if hello is None:
            raise MachineError(f"the virtual machine did not start within {BOOT_LIMIT_S:g} s")
        self.run("systemctl is-system-running --wait || true", BOOT_LIMIT_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for port in (self._agent, self._program, self._managed):
            port.close()

    def kill(self) -> None:
        """The power goes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def save(self, file: Path) -> None:
        """Stops it for good and writes its running state, from which others may go on."""
        assert self._monitor is not None
        self._monitor.save(file)

    def console(self) -> str:
        """The end of what it said."""
        return self._console.read_text(encoding="utf-8", errors="replace")[-4000:]

    def attempt(self, command: str, timeout_s: float = COMMAND_LIMIT_S) -> tuple[int, str]:
        """Runs a command of bash in it, as root: its exit status and what it printed."""
        name = str(next(self._ids))
        self._agent.send(f"{name} {timeout_s:g} {base64.b64encode(command.encode()).decode()}")
        limit_s = time.monotonic() + timeout_s + COMMAND_LIMIT_S
        while (line := self._agent.receive(limit_s - time.monotonic())) is not None:
            answered, status, *output = line.split(" ")
            if answered == name:
                return int(status), base64.b64decode("".join(output)).decode(errors="replace").strip()
        raise MachineError(f"no answer to {command!r}; the console:\n{self.console()}")

    def run(self, command: str, timeout_s: float = COMMAND_LIMIT_S) -> str:
        """Runs a command of bash in it, as root: what it printed.

        Raises:
            MachineError: its exit status was not 0.
        """
        status, output = self.attempt(command, timeout_s)
        if status != 0:
            raise MachineError(f"{command!r} ended with {status}: {output}")
        return output

    def write(self, path: str, text: str) -> None:
        """Writes a file in it, with the folders that lead there."""
        encoded = base64.b64encode(text.encode()).decode()
        self.run(f"mkdir -p {shlex.quote(str(Path(path).parent))}; base64 -d <<<{encoded} >{shlex.quote(path)}")

    def mount(self, serial: str, place: str) -> None:
        """Mounts one of the further disks, which the machine may find in any order."""
        self.run(f"""
            for block in /sys/block/vd*; do
                [[ $(<"$block/serial") != {serial} ]] || exec mount -t ext4 -o ro "/dev/${{block##*/}}" {place}
            done
            echo "no disk {serial}"; exit 1""")

    def start(self, command: str) -> Program:
        """Starts a program in it that is talked to by lines of JSON; one at a time."""
        self.run(f"""
            for folder in /sys/class/virtio-ports/*; do
                if [[ $(<"$folder/name") == program ]]; then port=/dev/${{folder##*/}}; fi
            done
            {{ {command}; }} 0<>"$port" 1>&0 2>/run/program.log &
            echo $! >/run/program.pid""")
        return Program(self, self._program)


class Program:
    """A program in the machine: it says one line when it is ready, and then answers each line with one line."""

    def __init__(self, machine: Machine, port: Port) -> None:
        self._machine = machine
        self._port = port
        self._receive()

    def ask(self, **request: Any) -> Any:
        """Sends one request and waits for its answer.

        Raises:
            MachineError: the program ended, or answered with an error.
        """
        self._port.send(json.dumps(request))
        answer = self._receive()
        if "error" in answer:
            raise MachineError(f"{request}: {answer['error']}")
        return answer

    def _receive(self) -> Any:
        while True:
            line = self._port.receive(10.0)
            if line is not None:
                return json.loads(line)
            if self._machine.attempt('kill -0 "$(</run/program.pid)"')[0] != 0:
                raise MachineError(f"the program in the machine ended: {self._machine.run('cat /run/program.log')}")
