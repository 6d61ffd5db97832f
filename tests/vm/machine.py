"""A Debian 13 arm64 machine in QEMU, driven through virtio-serial.

Law: the machine reaches nothing and nothing reaches it: it has no network. Its disks are never written to: what it
writes is gone with it. It dies with the process that made it. No limit here is a measurement: emulation on a shared
machine is ten times slower on one day than on another, so limits only end what hangs.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BOOT_LIMIT_S = 600.0
COMMAND_LIMIT_S = 240.0
INSIDE = Path(__file__).with_name("inside")

# What a start does not need here, by far most of its time. `systemd.mask=` and `systemd.wants=` are the work of
# systemd-debug-generator, which must not be masked itself.
MASKED = (
    "modprobe@configfs.service", "modprobe@drm.service", "modprobe@efi_pstore.service", "modprobe@fuse.service",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "dev-hugepages.mount", "dev-mqueue.mount", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service",
    "getty@tty1.service", "serial-getty@ttyAMA0.service", "systemd-logind.service", "systemd-user-sessions.service",
    "systemd-random-seed.service", "systemd-sysusers.service", "systemd-update-done.service", "ldconfig.service",
    "systemd-journal-catalog-update.service", "systemd-hwdb-update.service", "systemd-journal-flush.service",
    "systemd-remount-fs.service", "systemd-udev-load-credentials.service", "kmod-static-nodes.service",
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer",
)  # fmt: skip
# Loading the BPF security module takes seconds; the emulated processor has nothing to be mitigated.
KERNEL_WORDS = (
    "root=serial:root panic=-1 console=ttyAMA0 quiet systemd.show_status=0 lsm=yama mitigations=off nokaslr audit=0 "
    "rw cryptomgr.notests TERM=dumb systemd.gpt_auto=0 systemd.wants=t.service"
)
KERNEL_WORDS_LIMIT = 2048
# QEMU takes names of at most 55 characters, and opt/io.systemd.credentials/systemd.extra-unit.t.service has 55.
CREDENTIALS = {"systemd.extra-unit.t.service": INSIDE / "agent.service", "edged.agent": INSIDE / "agent.sh"}


class MachineError(AssertionError):
    """The machine did not do what a test asked of it."""


class Port:
    """One virtio-serial port, as lines of text. Made before the machine, which inherits `theirs`."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._rest = b""

    def send(self, line: str) -> None:
        self._ours.sendall(line.encode() + b"\n")

    def receive(self, timeout_s: float) -> str | None:
        """The next line, or None when none came in time."""
        limit_s = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left_s = limit_s - time.monotonic()
            if left_s <= 0:
                return None
            self._ours.settimeout(left_s)
            with contextlib.suppress(TimeoutError):
                data = self._ours.recv(65536)
                if not data:
                    raise MachineError("the virtual machine ended")
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()


class Machine:
    """One virtual machine, from `with` to its end.

    Args:
        system: the folder that `tests/vm/build` made.
        disks: more disks, by the serial number that the machine sees; mounted nowhere by themselves.
        folder: for what it says on its console.
        memory_mib: what it has.
    """

    def __init__(self, system: Path, disks: dict[str, Path], folder: Path, memory_mib: int = 1024) -> None:
        self._system = system
        self._disks = disks
        self._console = folder / "console.log"
        self._memory_mib = memory_mib
        self._agent = Port()
        self._program = Port()
        self._ids = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Starts it and waits until its agent answers."""
        ports = (self._agent.theirs.fileno(), self._program.theirs.fileno())
        # However this process ends, the machine ends: setpriv becomes QEMU and keeps its process id.
        command = ["setpriv", "--pdeathsig", "KILL", *self._command(ports)]
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, pass_fds=ports
            )
        self._agent.theirs.close()
        self._program.theirs.close()
        try:
            hello = self._agent.receive(BOOT_LIMIT_S)
            if hello is None:
                raise MachineError(f"the virtual machine did not start within {BOOT_LIMIT_S:g} s")
            self.run("systemctl is-system-running --wait || true", BOOT_LIMIT_S)
        except BaseException as error:
            self._end()
            if isinstance(error, MachineError):
                raise MachineError(f"{error}; its console:\n{self.console()}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._agent.close()
        self._program.close()

    def _command(self, ports: tuple[int, int]) -> list[str]:
        words = " ".join((KERNEL_WORDS, *(f"systemd.mask={unit}" for unit in MASKED)))
        assert len(words) < KERNEL_WORDS_LIMIT, "the kernel would cut its command line off"
        command = [
            "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", str(self._memory_mib),
            "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-nic", "none",
            "-kernel", str(self._system / "vmlinuz"), "-initrd", str(self._system / "initrd"), "-append", words,
            "-device", "virtio-rng-pci",
            "-drive", f"file={self._system / 'root.ext4'},if=none,id=root,format=raw,snapshot=on",
            "-device", "virtio-blk-pci,drive=root,serial=root",
            "-device", "virtio-serial-pci",
        ]  # fmt: skip
        for name, port in zip(("agent", "program"), ports, strict=True):
            command += ["-chardev", f"socket,id={name},fd={port}"]
            command += ["-device", f"virtserialport,chardev={name},name={name}"]
        for serial, file in self._disks.items():
            command += ["-drive", f"file={file},if=none,id={serial},format=raw,readonly=on"]
            command += ["-device", f"virtio-blk-pci,drive={serial},serial={serial}"]
        for name, file in CREDENTIALS.items():
            command += ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={file}"]
        return command

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
