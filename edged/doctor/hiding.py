"""What a configuration names and the service that runs it cannot see: root, who looks at it by hand, can.

Law: asks systemd where the configuration is a service's, and looks at no file but to follow links.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edged.config import Config
from edged.core.findings import Finding, problem
from edged.core.service_findings import Unit
from edged.doctor.subject import Subject
from edged.edges import units
from edged.instances import ROOT, Show, unit_of

OURS = "put it below /var/lib/edged or /etc/edged"


def hidden(config: Config, root: Path = ROOT, show: Show = units.show) -> list[str]:
    """A line for each such path, `FILE:LINE: key: text`; none where the configuration is no service's.

    Args:
        root: above /etc of the board.
        show: asks systemd for a unit.
    """
    return [f"{where}; {advice}" for where, advice in _hidden(config, unit_of(config.path, root, show))]


def visibility(subject: Subject, config: Config) -> Iterator[Finding]:
    """The same for the doctor's table."""
    for where, advice in _hidden(config, subject.unit):
        yield problem("configuration", where, advice)


def _hidden(config: Config, unit: Unit | None) -> Iterator[tuple[str, str]]:
    if unit is None or not unit.is_installed:
        return
    for key, path, advice in _paths(config):
        folder = next((one for one in unit.hidden if _is_below(path, Path(one))), None)
        if folder is not None:
            yield (
                config.problem(key, f"{path} leads into {folder}, which is hidden from {unit.name} by its sandbox"),
                advice,
            )


def _is_below(path: Path, folder: Path) -> bool:
    """Whether it is in a folder, or a link leads there."""
    return path.is_relative_to(folder) or path.resolve().is_relative_to(folder)


def _paths(config: Config) -> Iterator[tuple[tuple[str, ...], Path, str]]:
    """What is named by a whole path: the key, the path, and what to do where it cannot be seen."""
    name, tls = config.model.name, config.mqtt.tls
    if "/" in name:
        folder = Path(name).parent if name.endswith(".tflite") else Path(name)
        yield ("model", "name"), Path(name), f"sudo edged model add {folder}, and give its name alone"
    if config.camera.scheme == "file":
        yield ("camera", "source"), config.camera.path, OURS
    yield ("outbox", "path"), Path(config.outbox.path), "leave the line out, or name a place below /var/lib/edged"
    files = {
        ("camera", "password_file"): config.camera.password_file,
        ("mqtt", "password_file"): config.mqtt.password_file,
        ("mqtt", "tls", "ca_file"): tls and tls.ca_file,
        ("mqtt", "tls", "cert_file"): tls and tls.cert_file,
        ("mqtt", "tls", "key_file"): tls and tls.key_file,
    }
    for key, file in files.items():
        if file:
            yield key, Path(file), OURS
