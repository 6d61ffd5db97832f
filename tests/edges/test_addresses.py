"""Names and addresses, with what every machine resolves without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.edges import addresses


def test_an_address_is_its_own() -> None:
    assert addresses.resolve("127.0.0.1", 1883) == ("127.0.0.1",)
    assert addresses.resolve("::1", 1883) == ("::1",)


def test_localhost_resolves_to_loopback() -> None:
    assert set(addresses.resolve("localhost", 1883)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("name", ["no-such-broker.invalid", "a" * 64 + ".lan"])
def test_a_name_that_does_not_resolve_says_why(name: str) -> None:
    with pytest.raises(addresses.UnknownName, match=r"\w"):
        addresses.resolve(name, 1883)


def test_addresses_are_told_from_names() -> None:
    assert addresses.is_address("192.168.1.5")
    assert addresses.is_address("fe80::1%eth0")
    assert not addresses.is_address("homeassistant.local")


def test_name_servers_are_those_of_the_file(tmp_path: Path) -> None:
    assert addresses.name_servers(tmp_path) == ()
    (tmp_path / "etc").mkdir()
    lines = "# made by a test\nnameserver 192.168.1.1\nsearch lan\nnameserver fe80::1%eth0\nnameserver\nnameserver x\n"
    (tmp_path / "etc/resolv.conf").write_text(lines, encoding="utf-8")
    assert addresses.name_servers(tmp_path) == ("192.168.1.1", "fe80::1%eth0")
