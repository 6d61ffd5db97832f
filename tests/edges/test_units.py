"""What `systemctl show` says, read; and a machine without systemd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edged.core.service_findings import Unit
from edged.edges import units

SHOWN = """Restart=always
MainPID=812
NRestarts=2
Result=success
ExecMainStatus=0
IPAddressAllow=::1/128 127.0.0.0/8 192.168.0.0/16
IPAddressDeny=::/0 0.0.0.0/0
MemoryMax=471859200
LimitCORE=0
User=edged
LoadCredential=[unprintable]
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no
ProtectHome=yes
InaccessiblePaths=/dev/shm -/tmp +/var/tmp
"""

FILES = """# /usr/lib/systemd/system/edged.service
[Service]
LoadCredential=forgotten:/etc/forgotten
# /etc/systemd/system/edged.service.d/override.conf
[Service]
LoadCredential=
LoadCredential=mqtt-password:/etc/edged/credentials/mqtt-password
LoadCredential=camera-password:/etc/edged/credentials/camera-password
#LoadCredential=other:/etc/other
"""


def answer(show: str, cat: str | None) -> Callable[[Sequence[str]], str | None]:
    """A systemctl that knows one unit."""
    return lambda words: show if words[0] == "show" else cat


def test_a_running_service_is_read() -> None:
    assert units.show("edged.service", answer(SHOWN, FILES)) == Unit(
        "edged.service",
        "loaded",
        active="active",
        enabled="enabled",
        result="success",
        exit_status=0,
        restarts=2,
        main_pid=812,
        user="edged",
        memory_max_bytes=471_859_200,
        core_limit_bytes=0,
        allow=("::1/128", "127.0.0.0/8", "192.168.0.0/16"),
        deny=("::/0", "0.0.0.0/0"),
        hidden=("/home", "/root", "/run/user", "/dev/shm", "/tmp", "/var/tmp"),
        credentials={
            "mqtt-password": "/etc/edged/credentials/mqtt-password",
            "camera-password": "/etc/edged/credentials/camera-password",
        },
        is_stale=False,
    )


def test_a_service_that_is_not_there_is_read() -> None:
    shown = "MainPID=0\nMemoryMax=infinity\nLimitCORE=infinity\nLoadState=not-found\nActiveState=inactive\nUser=\n"
    found = units.show("edged.service", answer(shown, None))
    assert found is not None
    assert not found.is_installed
    assert not found.is_running
    assert (found.main_pid, found.memory_max_bytes, found.core_limit_bytes) == (None, None, None)
    assert found.credentials == {}


@pytest.mark.parametrize(
    ("shown", "hidden"),
    [
        ("ProtectHome=no\nInaccessiblePaths=\n", ()),
        ("ProtectHome=read-only\n", ()),
        ("ProtectHome=tmpfs\nInaccessiblePaths=/srv\n", ("/home", "/root", "/run/user", "/srv")),
    ],
)
def test_what_a_sandbox_hides_is_read(shown: str, hidden: tuple[str, ...]) -> None:
    found = units.show("edged.service", answer(shown + "LoadState=loaded\n", None))
    assert found is not None
    assert found.hidden == hidden


def test_the_unit_is_asked_for_by_its_name() -> None:
    asked = list[Sequence[str]]()

    def ask(words: Sequence[str]) -> str | None:
        asked.append(words)
        return SHOWN if words[0] == "show" else None

    found = units.show("edged@porch.service", ask)
    assert found is not None
    assert found.credentials == {}
    assert [(words[0], *words[-2:]) for words in asked] == [
        ("show", "--", "edged@porch.service"),
        ("cat", "--", "edged@porch.service"),
    ]


def test_a_machine_without_systemctl_has_no_services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert units.show("edged.service") is None


@pytest.mark.parametrize(
    ("script", "load"),
    [("echo LoadState=loaded", "loaded"), ("exit 1", None), ("echo LoadState=$4$5", "--edged.service")],
)
def test_a_program_is_asked_and_its_failure_is_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, load: str | None
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = units.show("edged.service")
    assert (found.load if found else None) == load
