"""Runs inside the virtual machine, in the sandbox of the service: tries what the service may not, and says what came.

Prints one JSON object: what was tried -> "allowed", or the name of the error. Nothing of it needs edged.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

OUTSIDE = "203.0.113.9"
"""TEST-NET-3, RFC 5737: nobody has it, and it is in no private range."""
INSIDE = "10.0.2.2"
"""QEMU's own end of the network: a private address."""
TCP_LIMIT_S = 10.0
SYS_KEYCTL, SYS_MEMFD_CREATE, SYS_PTRACE, SYS_BPF = 219, 279, 117, 280
"""asm-generic/unistd.h, which arm64 uses."""
PTRACE_ATTACH, KEYCTL_GET_KEYRING_ID, SESSION_KEYRING = 16, 0, -3
PROT_READ, PROT_WRITE, PROT_EXEC, MAP_PRIVATE, MAP_ANONYMOUS = 1, 2, 4, 2, 32

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.syscall.restype = ctypes.c_long


def _refused() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def system_call(number: int, *arguments: object) -> int:
    """One system call; raises OSError where the kernel refuses it."""
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise _refused()
    return result


def mapped(protection: int, file: int = -1) -> int:
    """The address of a new page."""
    flags = MAP_PRIVATE | (MAP_ANONYMOUS if file < 0 else 0)
    address = libc.mmap(None, mmap.PAGESIZE, protection, flags, file, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise _refused()
    return int(address)


def write(folder: str) -> None:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x")


def write_then_run() -> None:
    """A page that was writable becomes executable."""
    if libc.mprotect(mapped(PROT_READ | PROT_WRITE), mmap.PAGESIZE, PROT_READ | PROT_EXEC) != 0:
        raise _refused()


def run_memfd() -> None:
    """A file without a name, mapped as a program."""
    name = ctypes.c_char_p(b"x")
    file = system_call(SYS_MEMFD_CREATE, name, ctypes.c_uint(0))
    os.write(file, bytes(mmap.PAGESIZE))
    mapped(PROT_READ | PROT_EXEC, file)


def run_file(folder: str) -> None:
    """A program of one's own."""
    program = Path(folder, "probe-program")
    program.write_bytes(Path("/usr/bin/true").read_bytes())
    program.chmod(0o700)
    try:
        subprocess.run([program], check=True)
    finally:
        program.unlink()


def trace() -> None:
    """The memory of another process."""
    child = subprocess.Popen(["/usr/bin/sleep", "60"])
    try:
        system_call(SYS_PTRACE, ctypes.c_long(PTRACE_ATTACH), ctypes.c_long(child.pid), None, None)
    finally:
        child.kill()


def keys() -> None:
    system_call(SYS_KEYCTL, ctypes.c_long(KEYCTL_GET_KEYRING_ID), ctypes.c_long(SESSION_KEYRING), ctypes.c_long(0))


def send(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x", (address, 9))


def connect(address: str) -> None:
    with socket.create_connection((address, 443), TCP_LIMIT_S):
        pass


def packets() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
        pass


def tries(state: str, runtime: str) -> dict[str, Callable[[], object]]:
    folders = ("/", "/etc", "/usr", "/usr/lib/edged", "/var/lib", "/boot/firmware", "/home", "/root", "/run", "/tmp")
    folders += ("/run/lock", "/var/tmp", "/dev/shm", "/var/log", "/opt")
    return {
        f"write {state}": lambda: write(state),
        f"write {runtime}": lambda: write(runtime),
        **{f"write {folder}": lambda folder=folder: write(folder) for folder in folders},
        "read the password file": lambda: Path("/etc/edged/credentials/mqtt-password").read_bytes(),
        "map writable and executable": lambda: mapped(PROT_READ | PROT_WRITE | PROT_EXEC),
        "make a writable page executable": write_then_run,
        "map a memfd as a program": run_memfd,
        "run a file of the state folder": lambda: run_file(state),
        "run a file of the runtime folder": lambda: run_file(runtime),
        "ptrace": trace,
        "keyctl": keys,
        "bpf": lambda: system_call(SYS_BPF, ctypes.c_long(0), None, ctypes.c_long(0)),
        "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
        "open /dev/vda": lambda: os.open("/dev/vda", os.O_RDONLY),
        "open /dev/mem": lambda: os.open("/dev/mem", os.O_RDONLY),
        "packet socket": packets,
        "udp outside": lambda: send(OUTSIDE),
        "udp inside": lambda: send(INSIDE),
        "tcp outside": lambda: connect(OUTSIDE),
    }


def answer(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "allowed"


def main() -> None:
    state, runtime = os.environ["STATE_DIRECTORY"], os.environ["RUNTIME_DIRECTORY"]
    found = {name: answer(attempt) for name, attempt in tries(state, runtime).items()}
    json.dump(found, sys.stdout, indent=1)
    print(flush=True)


if __name__ == "__main__":
    main()
