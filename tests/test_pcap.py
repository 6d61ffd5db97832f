"""The reader of captured packets, on a capture that is made here."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from tests.vm.pcap import destinations


def packet(address: str, kind: int = 0x0800) -> bytes:
    """A captured Ethernet frame with an IPv4 head."""
    head = bytes(16) + socket.inet_aton(address)
    frame = bytes(12) + struct.pack(">H", kind) + head
    return struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame


def test_packets_are_counted_by_the_address_that_they_are_for(tmp_path: Path) -> None:
    file = tmp_path / "network.pcap"
    packets = [packet("10.0.2.2"), packet("203.0.113.9"), packet("10.0.2.2"), packet("203.0.113.9", 0x86DD)]
    file.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65536, 1) + b"".join(packets) + bytes(7))
    assert destinations(file) == {"10.0.2.2": 2, "203.0.113.9": 1}
    assert destinations(file)["192.0.2.1"] == 0
