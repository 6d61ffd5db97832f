"""Names and addresses of the network, as this machine resolves them now. Nothing is connected to."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from edged.core.errors import EdgedError


class UnknownName(EdgedError):
    """A name that does not resolve; the reason in words."""


def resolve(host: str, port: int) -> tuple[str, ...]:
    """The addresses of a host in the order in which they are tried. Blocks for as long as the system's resolver does.

    Raises:
        UnknownName: there are none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise UnknownName((error.strerror or "no reason given").lower()) from None
    except UnicodeError:
        raise UnknownName("it is no name of a host") from None
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_address(host: str) -> bool:
    """Whether a host is an address already, and nobody has to be asked for it."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def name_servers(root: Path) -> tuple[str, ...]:
    """The addresses that names are asked of, by resolv.conf(5); those that are none are left out."""
    try:
        text = (root / "etc/resolv.conf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    lines = (line.split() for line in text.splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and is_address(words[1]))
