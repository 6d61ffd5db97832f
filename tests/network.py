"""The network between a device and its broker, as a TCP relay on loopback that can be cut, frozen and mended.

One thread moves the bytes. Cut, both sides get a reset and what was on its way is lost; frozen, connections stay open,
new ones are taken by the kernel, and nothing comes through: what a dead wireless link looks like.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading

RESET = struct.pack("ii", 1, 0)
CHUNK_BYTES = 65_536


class Network:
    """A relay to a port on loopback.

    Attributes:
        port: where the device is to connect.
        taken: how many connections were made so far.
    """

    host = "127.0.0.1"

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._is_down = self._is_frozen = self._is_over = False
        self._listener = socket.create_server((self.host, 0))
        self._alarm, self._bell = socket.socketpair()
        self.port: int = self._listener.getsockname()[1]
        self.taken = 0
        self._thread = threading.Thread(target=self._relay, name="network", daemon=True)

    def cut(self, *, stays_down: bool = False) -> None:
        """Resets every connection; new ones too, where it stays down."""
        with self._lock:
            self._is_down = stays_down
            for one in list(self._peers):
                self._reset(one)
        self._wake()

    def freeze(self) -> None:
        """Nothing comes through, and nobody is told."""
        self._set(is_frozen=True)

    def mend(self) -> None:
        """Everything works again; what was held back by freezing comes through late."""
        self._set(is_frozen=False)

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._wake()
        self._thread.join(10)
        self.cut()
        for one in (self._listener, self._alarm, self._bell):
            one.close()

    def _set(self, *, is_frozen: bool) -> None:
        with self._lock:
            self._is_frozen, self._is_down = is_frozen, False
        self._wake()

    def _wake(self) -> None:
        self._alarm.send(b".")

    def _relay(self) -> None:
        while not self._is_over:
            watched: list[socket.socket] = [self._bell]
            if not self._is_frozen:
                watched += [self._listener, *self._peers]
            try:
                readable, _, _ = select.select(watched, (), ())
            except (OSError, ValueError):  # one of them was reset between the two lines
                continue
            if self._bell in readable:
                self._bell.recv(CHUNK_BYTES)
                continue  # the world has changed: look again before anything is moved
            with self._lock:
                for one in readable:
                    self._accept() if one is self._listener else self._move(one)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._is_down:
                raise ConnectionRefusedError
            far = socket.create_connection((self.host, self._to_port), timeout=5.0)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            near.close()
            return
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers |= {near: far, far: near}
        self.taken += 1

    def _move(self, one: socket.socket) -> None:
        other = self._peers.get(one)
        if other is None:
            return
        with contextlib.suppress(OSError):
            data = one.recv(CHUNK_BYTES)
            if data:
                other.sendall(data)
                return
        # An orderly end is passed on as one: a broker that is told nothing would publish the will.
        for side in (one, other):
            self._peers.pop(side, None)
            side.close()

    def _reset(self, one: socket.socket) -> None:
        self._peers.pop(one, None)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.close()
