"""Reads what QEMU captured of a machine's network: the file format of pcap, pcap-savefile(5)."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from pathlib import Path

FILE_HEAD, PACKET_HEAD, ETHERNET_HEAD = 24, 16, 14
IPV4 = 0x0800


def destinations(file: Path) -> Counter[str]:
    """How many IPv4 packets there were by the address that they were for."""
    data = file.read_bytes()
    found: Counter[str] = Counter()
    position = FILE_HEAD
    while position + PACKET_HEAD <= len(data):
        (size,) = struct.unpack_from("<I", data, position + 8)
        frame = data[position + PACKET_HEAD : position + PACKET_HEAD + size]
        position += PACKET_HEAD + size
        if len(frame) >= ETHERNET_HEAD + 20 and struct.unpack_from(">H", frame, 12)[0] == IPV4:
            found[socket.inet_ntoa(frame[ETHERNET_HEAD + 16 : ETHERNET_HEAD + 20])] += 1
    return found
