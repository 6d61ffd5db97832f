"""Which files a command that is run by hand finds the passwords of a service in."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.config import ROOTS
from edged.core.service_findings import Unit
from edged.instances import lent

DROP_IN = {
    "mqtt-password": "/etc/edged/credentials/garden-mqtt-password",
    "camera-password": "/etc/edged/credentials/camera-password",
}


class Systemd:
    """Knows these units, and remembers whom it was asked for."""

    def __init__(self, *units: Unit) -> None:
        self.units = {unit.name: unit for unit in units}
        self.asked: list[str] = []

    def show(self, name: str) -> Unit | None:
        self.asked.append(name)
        return self.units.get(name)


GARDEN = Unit("edged@garden.service", "loaded", credentials=DROP_IN)


def test_an_instance_lends_what_its_unit_names() -> None:
    systemd = Systemd(GARDEN)
    found = lent(Path("/etc/edged/edged@garden.toml"), {}, show=systemd.show)
    assert found == {name: Path(file) for name, file in DROP_IN.items()}
    assert systemd.asked == ["edged@garden.service"]


@pytest.mark.parametrize(
    "unit",
    [
        Unit("edged@garden.service", "not-found"),
        Unit("edged@garden.service", "loaded"),
        Unit("edged@garden.service", "loaded", credentials={"mqtt-password": "of-the-machine", "x": ""}),
    ],
)
def test_a_unit_that_names_no_file_lends_what_the_first_one_does(unit: Unit) -> None:
    assert lent(Path("/etc/edged/edged@garden.toml"), {}, show=Systemd(unit).show) == ROOTS
    assert lent(Path("/etc/edged/edged@garden.toml"), {}, show=Systemd().show) == ROOTS


def test_a_configuration_elsewhere_is_no_service_s(tmp_path: Path) -> None:
    systemd = Systemd(GARDEN)
    found = lent(tmp_path / "edged@garden.toml", {}, tmp_path, systemd.show)
    assert found == {name: tmp_path / "etc/edged/credentials" / name for name in ROOTS}
    assert systemd.asked == []


def test_nobody_is_asked_where_the_passwords_are_handed_over() -> None:
    systemd = Systemd(GARDEN)
    assert lent(Path("/etc/edged/edged@garden.toml"), {"CREDENTIALS_DIRECTORY": "/run/x"}, show=systemd.show) == ROOTS
    assert systemd.asked == []
