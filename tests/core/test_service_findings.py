"""What systemd, files and their modes mean for the service."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edged.core import service_findings as service
from edged.core.service_findings import Possession, Unit

RUNNING = Unit(
    "edged.service",
    "loaded",
    active="active",
    enabled="enabled",
    main_pid=100,
    user="edged",
    core_limit_bytes=0,
    allow=("127.0.0.0/8", "::1/128", "192.168.1.5/32", "fe80::/10"),
    deny=("0.0.0.0/0", "::/0"),
)
SECRET = Possession("/etc/edged/credentials/mqtt-password", "root", "root", 0o600)
FOLDER = Possession("/etc/edged/credentials", "root", "root", 0o700, is_folder=True)


@pytest.mark.parametrize(
    ("unit", "expected", "word"),
    [
        (None, "not available", "systemd"),
        (Unit("edged.service", "not-found"), "not available", "no edged.service"),
        (RUNNING, "ok", "runs as edged"),
        (replace(RUNNING, user=""), "ok", "edged.service runs and"),
        (replace(RUNNING, active="activating", result="success"), "ok", "runs"),
        (replace(RUNNING, enabled="disabled"), "warning", "not after a restart"),
        (replace(RUNNING, restarts=3), "warning", "after 3 restarts"),
        (replace(RUNNING, is_stale=True), "warning", "older unit file"),
        (replace(RUNNING, active="inactive"), "warning", "does not run"),
        (replace(RUNNING, active="failed", result="exit-code", exit_status=1), "problem", "exit code 1"),
        (replace(RUNNING, active="failed", result="exit-code", exit_status=78), "problem", "cannot be used"),
        (replace(RUNNING, active="failed", result="watchdog"), "problem", "(watchdog)"),
        (replace(RUNNING, active="failed", result="oom-kill"), "problem", "(oom-kill)"),
        (replace(RUNNING, active="activating", result="exit-code", exit_status=1), "problem", "exit code 1"),
    ],
)
def test_service(unit: Unit | None, expected: str, word: str) -> None:
    found = service.service(unit, "/etc/edged/edged.toml")
    assert found.status == expected
    assert word in found.found


def test_an_unusable_configuration_leads_to_check() -> None:
    failed = replace(RUNNING, active="failed", result="exit-code", exit_status=78)
    assert "edged check --config /etc/edged/porch.toml" in service.service(failed, "/etc/edged/porch.toml").advice


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (None, "ok"),
        (Unit("edged.service", "not-found"), "ok"),
        (RUNNING, "ok"),
        (replace(RUNNING, core_limit_bytes=None), "warning"),
        (replace(RUNNING, core_limit_bytes=1024), "warning"),
    ],
)
def test_core_dumps(unit: Unit | None, expected: str) -> None:
    assert service.core_dumps(unit).status == expected


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        ({"broker": ["192.168.1.5"]}, "ok"),
        ({"broker": ["192.168.1.6"]}, "problem"),
        ({"broker": ["192.168.1.5"], "camera": ["192.168.1.6"]}, "problem"),
        ({"broker": ["192.168.1.5", "2001:db8::5"]}, "warning"),
        ({"broker": ["fe80::1%eth0"]}, "ok"),
        ({"broker": ["::1", "127.0.0.1"]}, "ok"),
        ({"broker": ["192.168.1.5"], "name server": ["192.168.1.1"]}, "problem"),
        ({"broker": ["192.168.1.5"], "name server": ["127.0.0.53"]}, "ok"),
        ({"broker": []}, "ok"),
        ({}, "ok"),
    ],
)
def test_a_lock_is_compared_with_where_things_are_now(peers: dict[str, list[str]], expected: str) -> None:
    found = service.network_lock(RUNNING, peers)
    assert found.status == expected
    if expected in ("problem", "warning"):
        assert "sudo edged-lock edged " in found.advice
        assert any(address in found.found for addresses in peers.values() for address in addresses)


def test_what_is_allowed_goes_before_what_is_denied_and_the_rest_passes() -> None:
    """As systemd.resource-control(5) has it."""
    partly = replace(RUNNING, allow=("10.0.0.1/32",), deny=("10.0.0.0/8",))
    for address, expected in (("10.0.0.1", "ok"), ("10.0.0.2", "problem"), ("192.168.1.1", "ok")):
        assert service.network_lock(partly, {"broker": [address]}).status == expected


@pytest.mark.parametrize(
    ("word", "inside", "outside"),
    [
        ("any", "8.8.8.8", None),
        ("localhost", "127.0.0.9", "10.0.0.1"),
        ("link-local", "169.254.7.7", "10.0.0.1"),
        ("multicast", "224.0.0.251", "10.0.0.1"),
    ],
)
def test_the_words_of_systemd_for_networks(word: str, inside: str, outside: str | None) -> None:
    unit = replace(RUNNING, allow=(word,))
    assert service.network_lock(unit, {"broker": [inside]}).status == "ok"
    if outside is not None:
        assert service.network_lock(unit, {"broker": [outside]}).status == "problem"


def test_no_lock_is_worth_a_word_and_no_service_is_none() -> None:
    assert service.network_lock(replace(RUNNING, deny=()), {}).status == "warning"
    assert service.network_lock(None, {}).status == "not available"
    assert service.network_lock(Unit("edged.service", "not-found"), {}).status == "not available"


def test_secrets_that_are_only_edgeds() -> None:
    found = service.secrets((SECRET, FOLDER), (), "edged", {})
    assert found.status == "ok"
    assert found.found == "/etc/edged/credentials/mqtt-password: read by root alone"
    group = service.secrets((replace(SECRET, mode=0o640, group="edged"),), (), "edged", {})
    assert group.found.endswith("read by root and group edged alone")
    assert service.secrets((), (), "", {}).status == "ok"


@pytest.mark.parametrize(
    ("held", "word"),
    [
        (replace(SECRET, mode=0o644), "read"),
        (replace(SECRET, mode=0o602), "replace"),
        (replace(FOLDER, mode=0o777), "replace what is in /etc/edged/credentials"),
    ],
)
def test_secrets_that_others_can_have(held: Possession, word: str) -> None:
    found = service.secrets((held,), (), "edged", {})
    assert found.status == "problem"
    assert word in found.found
    assert found.advice.startswith("sudo chmod o-")


def test_a_folder_that_others_may_enter_is_none_of_them() -> None:
    assert service.secrets((SECRET, replace(FOLDER, mode=0o755)), (), "edged", {}).status == "ok"


def test_a_secret_that_the_service_itself_cannot_read() -> None:
    found = service.secrets((SECRET,), (), "edged", {SECRET.path: False})
    assert found.status == "problem"
    assert "edged, who may not read" in found.found
    assert service.secrets((SECRET,), (), "edged", {SECRET.path: True}).status == "ok"


def test_secrets_that_this_user_may_not_look_at() -> None:
    found = service.secrets((), ("/etc/edged/credentials/mqtt-password",), "", {})
    assert (found.status, found.advice) == ("not available", "run it with sudo")
    assert service.secrets((replace(SECRET, mode=0o644),), ("/x",), "", {}).status == "problem"
