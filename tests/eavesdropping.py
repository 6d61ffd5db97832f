"""Everything that a process sends and writes, taken down outside it: its system calls, and the packets on loopback.

Debian's strace takes the calls down with all their data; a packet socket takes every packet. Both need root.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import edged
from tests.fakes import until

OUT = {"write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg"}
"""Their data is in the call."""
UNSEEN = {
    *("splice", "vmsplice", "tee", "sendfile", "copy_file_range", "process_vm_writev", "io_uring_setup"),
    *("memfd_create", "shmget", "ptrace"),
}
"""Data could leave by these without being in a call: none may be made at all."""
NAMES = {
    *(
        "open",
        "openat",
        "openat2",
        "creat",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
    ),
    *("truncate", "ftruncate", "fallocate", "mmap", "socket", "connect", "bind", "listen", "accept", "accept4"),
}
LONGEST_BYTES = 1 << 24
_PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
_ADDRESS = re.compile(r'(?:inet_addr\(|inet_pton\(AF_INET6, )"((?:\\x[0-9a-f]{2})+)"')

_CALL = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<rest>.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_FILE = re.compile(r"^(?:AT_FDCWD|-?\d+)(?:<((?:\\x[0-9a-f]{2})*|[\w-]+:\[[^\]]*\])>)?")


def why_not() -> str | None:
    """Why nothing can be taken down here; None where it can."""
    if os.geteuid() != 0:
        return "only root may listen on loopback"
    if shutil.which("strace") is None:
        return "no strace on this machine (apt install strace)"
    probe = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        return f"strace may not trace here: {probe.stderr.strip()}"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as error:
        return f"no packet socket may be opened here: {error.strerror}"
    return None


@dataclass(frozen=True)
class Call:
    """One system call.

    Attributes:
        rest: its arguments and what came of it, strings as strace writes them.
        target: what its first argument is, a file's name or a socket's ends; "" where that is none.
        data: its strings, one after the other.
    """

    pid: int
    name: str
    rest: str
    target: str
    data: bytes


class Traced:
    """A process and its children, from the first call to the last.

    Args:
        command: run in a folder of its own, with HOME, TMPDIR and the state folder in it.
        folder: gets those folders, stdout, stderr and the trace.
    """

    def __init__(self, command: Sequence[str], folder: Path, **environment: str) -> None:
        self.folder = folder
        self._trace = folder.parent / f"{folder.name}.trace"
        for name in ("home", "tmp", "cwd", "state"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        # Where it is not installed it is found beside the tests.
        found = os.pathsep.join((str(Path(edged.__file__).parent.parent), os.environ.get("PYTHONPATH", "")))
        own = {"HOME": "home", "TMPDIR": "tmp", "STATE_DIRECTORY": "state", "XDG_CACHE_HOME": "home"}
        calls = ",".join(f"?{name}" for name in sorted(OUT | UNSEEN | NAMES))
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as errors:
            # -D: the tracer is the grandchild, so that signals and the exit code are the program's own.
            self.process = subprocess.Popen(
                [
                    *("strace", "-D", "-f", "-q", "-v", "-yy", "-xx", "-s", str(LONGEST_BYTES)),
                    *("-e", f"trace={calls}", "-o", str(self._trace), *command),
                ],
                env={
                    **os.environ,
                    **{name: str(folder / inner) for name, inner in own.items()},
                    "PYTHONPATH": found,
                    **environment,
                },
                cwd=folder / "cwd",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )

    @property
    def errors(self) -> str:
        """What it wrote on stderr so far."""
        return (self.folder / "stderr").read_text(errors="replace")

    @property
    def output(self) -> str:
        """What it wrote on stdout so far."""
        return (self.folder / "stdout").read_text(errors="replace")

    def until(self, condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Waits for a condition, as long as the process lives."""
        until(lambda: condition() or self.process.poll() is not None, timeout_s)
        assert condition(), self.errors[-4000:]

    def wait(self, timeout_s: float = 120.0) -> int:
        """Waits for the end of the process, and of the tracer: the exit code."""
        code = self.process.wait(timeout_s)
        ended = re.compile(rf"^{self.process.pid} +\+\+\+".encode(), re.MULTILINE)
        until(lambda: ended.search(self._tail()) is not None, 60)
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end: the exit code."""
        self.process.send_signal(number)
        return self.wait()

    @cached_property
    def calls(self) -> list[Call]:
        """Every call that was taken down; for after the end."""
        return list(read_trace(self._trace.read_text()))

    def written(self) -> dict[str, bytes]:
        """What went into each file, pipe and socket, in the order in which it went; names of files too."""
        found: dict[str, bytearray] = defaultdict(bytearray)
        for call in self.calls:
            assert call.name not in UNSEEN, f"{call.name} hides what it moves: {call.rest[:200]}"
            if call.name in OUT:
                found[f"written to {call.target}"] += call.data
            else:
                found["names of files"] += call.data + b"\n"
        return {name: bytes(data) for name, data in found.items()}

    def opened(self) -> set[str]:
        """The files that were opened to be written, or made, by name."""
        flags = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TMPFILE")
        return {
            call.data.decode(errors="replace")
            for call in self.calls
            if call.name == "creat" or (call.name.startswith("open") and any(flag in call.rest for flag in flags))
        }

    def shared(self) -> set[str]:
        """The files that were mapped so that what is written to memory goes into them."""
        maps = [call.rest for call in self.calls if call.name == "mmap"]
        return {rest for rest in maps if "PROT_WRITE" in rest and "MAP_SHARED" in rest and "MAP_ANONYMOUS" not in rest}

    def peers(self) -> set[str]:
        """Whom it connected to or sent datagrams to, address and port."""
        return {
            f"{_name(address[1])}:{port[1]}" if address else f"?:{port[1]}"
            for call in self.calls
            if call.name in ("connect", "sendto", "sendmsg", "sendmmsg") and (port := _PORT.search(call.rest))
            for address in (_ADDRESS.search(call.rest),)
        }

    def listened(self) -> set[str]:
        """The addresses and ports at which it took connections, for however short a time."""
        return {call.target.partition("[")[2].rstrip("]") for call in self.calls if call.name == "listen"}

    def files(self) -> dict[str, bytes]:
        """What lies in its folders at the end."""
        return {str(path): path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}

    def _tail(self) -> bytes:
        with self._trace.open("rb") as trace:
            trace.seek(max(0, trace.seek(0, os.SEEK_END) - 65_536))
            return trace.read()

    def __enter__(self) -> Traced:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def read_trace(text: str) -> Iterator[Call]:
    """The calls in what strace wrote with -f, -y and -xx."""
    for line in text.splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        rest = call["rest"]
        assert not any(cut for _, cut in _TEXT.findall(rest)), f"strace cut a string short: {rest[-200:]}"
        target = _FILE.match(rest)
        yield Call(
            int(call["pid"]),
            call["name"],
            rest,
            _name(target[1] or "") if target else "",
            b"".join(_bytes(text) for text, _ in _TEXT.findall(rest)),
        )


def _name(text: str) -> str:
    return _bytes(text).decode(errors="replace") if text.startswith("\\x") else text


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


class Packets:
    """Every TCP packet to or from a port on loopback (IPv4), while it is entered.

    Attributes:
        packets: how many there were.
        lost: packets that the kernel could not keep for us.
    """

    ETH_P_IP, SOL_PACKET, PACKET_STATISTICS = 0x0800, 263, 6
    SO_ATTACH_FILTER, SO_RCVBUFFORCE, BUFFER_BYTES = 26, 33, 64 << 20

    def __init__(self, port: int) -> None:
        self._segments: dict[str, dict[int, bytes]] = defaultdict(dict)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._filter(port)
        self._socket.setsockopt(socket.SOL_SOCKET, self.SO_RCVBUFFORCE, self.BUFFER_BYTES)
        self._socket.bind(("lo", self.ETH_P_IP))
        self._socket.settimeout(0.1)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="packets", daemon=True)
        self.lost = self.packets = 0

    def streams(self) -> dict[str, bytes]:
        """What went from one port to another, put together again; a packet that was sent twice is there once."""
        return {name: b"".join(parts[place] for place in sorted(parts)) for name, parts in self._segments.items()}

    def __enter__(self) -> Packets:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)
        _, self.lost = struct.unpack("II", self._socket.getsockopt(self.SOL_PACKET, self.PACKET_STATISTICS, 8))
        self._socket.close()

    def _filter(self, port: int) -> None:
        """Has the kernel keep this port's packets alone: what others do on loopback would drown them."""
        instructions = (
            *((0x30, 0, 0, 23), (0x15, 0, 6, 6)),  # the protocol is TCP, else drop
            (0xB1, 0, 0, 14),  # x = length of the IP header
            *((0x48, 0, 0, 14), (0x15, 2, 0, port)),  # from the port: keep
            *((0x48, 0, 0, 16), (0x15, 0, 1, port)),  # to the port: keep, else drop
            *((0x06, 0, 0, 1 << 18), (0x06, 0, 0, 0)),
        )
        program = b"".join(struct.pack("HBBI", *one) for one in instructions)
        kept = ctypes.create_string_buffer(program)
        filter_ = struct.pack("HP", len(instructions), ctypes.addressof(kept))
        self._socket.setsockopt(socket.SOL_SOCKET, self.SO_ATTACH_FILTER, filter_)

    def _listen(self) -> None:
        while True:
            try:
                packet = self._socket.recv(1 << 18)
            except TimeoutError:
                if self._is_over.is_set():
                    return
                continue
            self._take(packet)

    def _take(self, packet: bytes) -> None:
        transport = packet[14 + (packet[14] & 15) * 4 : 14 + int.from_bytes(packet[16:18], "big")]
        source, target, place = struct.unpack("!HHI", transport[:8])
        data = transport[(transport[12] >> 4) * 4 :]
        self.packets += 1
        if data:
            self._segments[f"port {source} to {target}"][place] = data


def listening_ports(pid: int) -> list[str]:
    """The sockets of a process that take connections, or datagrams from anybody: as /proc/net tells them."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(link))  # noqa: PTH115
        except FileNotFoundError:
            continue
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
        path = Path(f"/proc/{pid}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            words = line.split()
            inode, state = (words[8], "0A") if table == "packet" else (words[9], words[3])
            takes = state == "0A" or not table.startswith("tcp")
            if takes and f"socket:[{inode}]" in own:
                found.append(f"{table} {words[1]}")
    return found
