"""The exact network lock: the drop-in that it writes, from a configuration, and takes back."""

from __future__ import annotations

import errno
import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[1] / "systemd" / "edged-lock"


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    path, dont_write = list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    loader = SourceFileLoader("edged_lock", str(TOOL))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    sys.path[:], sys.dont_write_bytecode = path, dont_write
    return module


@pytest.fixture
def configuration(tmp_path):
    def write(source: str, host: str) -> list[str]:
        text = f'[camera]\nsource = "{source}"\n[[rule]]\nlabel = "cat"\n[mqtt]\nhost = "{host}"\n'
        (tmp_path / "edged.toml").write_text(text, encoding="utf-8")
        return ["--config", str(tmp_path / "edged.toml"), "--units", str(tmp_path / "units")]

    return write


def allowed(path: Path) -> list[str]:
    return [line.partition("=")[2] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("IP")]


def test_broker_and_network_camera_and_nothing_else(lock, configuration, tmp_path, capsys):
    assert lock.main(configuration("rtsp://[fd00::9]:8554/stream", "192.0.2.7")) == 0
    drop_in = tmp_path / "units" / "edged.service.d" / "30-lock.conf"
    asked = lock.name_servers(Path("/etc/resolv.conf").read_text()) if Path("/etc/resolv.conf").exists() else ("", ())
    assert allowed(drop_in) == ["", "localhost", "192.0.2.7", "fd00::9", *asked[1]]
    assert "broker 192.0.2.7" in capsys.readouterr().out


def test_the_first_line_takes_back_what_the_unit_allows(lock):
    text = lock.drop_in("edged", [("broker b", ("192.0.2.1", "2001:db8::1"))])
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        "[Service]",
        "IPAddressAllow=",
        "IPAddressAllow=localhost",
        "IPAddressAllow=192.0.2.1",
        "IPAddressAllow=2001:db8::1",
    ]


def test_a_camera_at_the_board_needs_no_address(lock, configuration, tmp_path):
    assert lock.main([*configuration("v4l2:/dev/video0", "192.0.2.7"), "edged@garden.service"]) == 0
    text = (tmp_path / "units" / "edged@garden.service.d" / "30-lock.conf").read_text(encoding="utf-8")
    assert "camera" not in text
    assert "edged@garden.toml" in text


def test_it_can_be_taken_back_twice(lock, configuration, tmp_path):
    arguments = configuration("v4l2:/dev/video0", "192.0.2.7")
    assert lock.main(arguments) == 0
    for _ in range(2):
        assert lock.main([*arguments, "--remove"]) == 0
        assert not (tmp_path / "units" / "edged.service.d").exists()


def test_another_drop_in_stays(lock, configuration, tmp_path):
    arguments = configuration("v4l2:/dev/video0", "192.0.2.7")
    assert lock.main(arguments) == 0
    other = tmp_path / "units" / "edged.service.d" / "override.conf"
    other.write_text("[Service]\n", encoding="utf-8")
    assert lock.main([*arguments, "--remove"]) == 0
    assert [path.name for path in other.parent.iterdir()] == ["override.conf"]


def test_a_name_without_an_address_changes_nothing(lock, configuration, tmp_path, capsys):
    assert lock.main(configuration("v4l2:/dev/video0", "192.0.2.7")) == 0
    drop_in = tmp_path / "units" / "edged.service.d" / "30-lock.conf"
    before = drop_in.read_text(encoding="utf-8")
    assert lock.main(configuration("v4l2:/dev/video0", "no-such-broker.invalid")) == 1
    assert drop_in.read_text(encoding="utf-8") == before
    assert "the broker no-such-broker.invalid has no address now" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_used(lock, tmp_path, capsys):
    assert lock.main(["--config", str(tmp_path / "none.toml"), "--units", str(tmp_path)]) == 78
    assert "there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "unit",
    [
        *("mosquitto", "edged@a/b", "edged2", "edged@", "edged@..", "edged@."),
        *("edged@a b", "edged@a\nb", "edged@-x", "edged@é"),
    ],
)
def test_another_service_is_none_of_its_business(lock, unit, capsys):
    with pytest.raises(SystemExit) as ended:
        lock.main([unit])
    assert ended.value.code == 2
    assert f"expected edged or edged@NAME, found {unit}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["garden", "Garden.2", "back-yard_1", r"a\x20b"])
def test_what_systemd_takes_for_an_instance_is_one(lock, configuration, tmp_path, name):
    assert lock.main([*configuration("v4l2:/dev/video0", "192.0.2.7"), f"edged@{name}"]) == 0
    assert (tmp_path / f"units/edged@{name}.service.d/30-lock.conf").is_file()


def test_the_new_lock_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    lock, configuration, tmp_path, monkeypatch
):
    drop_in = tmp_path / "units" / "edged.service.d" / "30-lock.conf"
    lock.main(configuration("v4l2:/dev/video0", "192.0.2.7"))
    old = drop_in.read_text(encoding="utf-8")
    synced = []

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        synced.append((path, None if path.is_dir() else path.read_text(), drop_in.read_text(encoding="utf-8")))

    monkeypatch.setattr(os, "fsync", fsync)
    lock.main(configuration("v4l2:/dev/video0", "192.0.2.8"))
    new = drop_in.read_text(encoding="utf-8")
    assert new == old.replace("192.0.2.7", "192.0.2.8")
    ((file, content, before), *folders) = synced
    assert (file.parent, content, before) == (drop_in.parent, new, old)
    assert not file.name.endswith(".conf")
    assert folders == [(drop_in.parent, None, new), (drop_in.parent.parent, None, new)]


def test_a_lock_that_cannot_be_written_leaves_the_old_one(lock, configuration, tmp_path, monkeypatch, capsys):
    lock.main(configuration("v4l2:/dev/video0", "192.0.2.7"))
    drop_in = tmp_path / "units" / "edged.service.d" / "30-lock.conf"
    old = drop_in.read_bytes()

    def fsync(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    assert lock.main(configuration("v4l2:/dev/video0", "192.0.2.8")) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert drop_in.read_bytes() == old
    assert list(drop_in.parent.iterdir()) == [drop_in]


def test_name_servers_are_those_of_resolv_conf(lock):
    lines = ["# nameserver 192.0.2.1", "search lan", "nameserver 192.0.2.3", "nameserver 127.0.0.53"]
    text = "\n".join([*lines, "nameserver fe80::1%eth0", "nameserver", ""])
    assert lock.name_servers(text)[1] == ("192.0.2.3", "fe80::1")
