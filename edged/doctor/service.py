"""The service, its sandbox's lock on the network, and other instances of edged beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from edged.config import Config, load
from edged.core import service_findings as findings
from edged.core.errors import ConfigError
from edged.core.findings import Finding, ok, problem
from edged.doctor.subject import Subject
from edged.edges import addresses, processes
from edged.edges.camera_rtsp_question import PORTS
from edged.edges.processes import Process
from edged.instances import SERVICES, lent, unit_of


def service(subject: Subject) -> Finding:
    """Whether it runs."""
    return findings.service(subject.unit, str(subject.path))


def core_dumps(subject: Subject) -> Finding:
    """Whether a picture could reach the disk when it dies."""
    return findings.core_dumps(subject.unit)


def network_lock(subject: Subject, config: Config) -> Finding:
    """Whether it may reach broker, camera and name server where they are now."""
    if not subject.is_service:
        return findings.network_lock(subject.unit, {})
    hosts = {"broker": (config.mqtt.host, config.mqtt.port)}
    if config.camera.scheme in PORTS:
        parts = urlsplit(config.camera.source)
        hosts["camera"] = (parts.hostname or "", parts.port or PORTS[config.camera.scheme])
    peers = {what: _resolved(*place) for what, place in hosts.items()}
    # Names that end in .local are asked of everybody on the network, by a helper outside the sandbox.
    if any(not addresses.is_address(host) and not host.endswith(".local") for host, _ in hosts.values()):
        peers["name server"] = addresses.name_servers(subject.root)
    return findings.network_lock(subject.unit, peers)


def _resolved(host: str, port: int) -> tuple[str, ...]:
    try:
        return addresses.resolve(host, port)
    except addresses.UnknownName:
        return ()  # the lines broker and camera say so


def instances(subject: Subject, config: Config) -> Finding:
    """Whether another edged on this board uses the same name, state or camera."""
    own, others = set(_claims(subject.path, config)), list(_others(subject))
    for who, path, their in others:
        shared = [words for words, thing in _claims(path, their) if (words, thing) in own]
        if shared:
            return problem(
                "instances",
                f"{who} uses {' and '.join(shared)} as well",
                "give each instance its own [device] name and its own camera, or stop one of them",
            )
    twice = [one for one in processes.daemons(subject.root) if _runs(one, subject.path)]
    if len(twice) > 1:
        pids = ", ".join(str(one.pid) for one in twice)
        return problem(
            "instances", f"{subject.path} runs more than once (processes {pids})", "stop all but one of them"
        )
    return ok(
        "instances", f"no other instance uses its name or its camera{f' ({len(others)} looked at)' if others else ''}"
    )


def _claims(path: Path, config: Config) -> Iterator[tuple[str, object]]:
    """What two instances must not share: in words, and what tells it from another one."""
    name, mqtt, camera = config.device.name, config.mqtt, config.camera
    yield f"the device name {name} at the same broker", (name, mqtt.topic_prefix, mqtt.host, mqtt.port)
    if path.absolute().parent.match(SERVICES):
        yield f"the state folder {name}", name
    if camera.scheme == "v4l2":
        yield f"the camera {camera.path.resolve()}", camera.path.resolve()
    elif camera.scheme == "picamera2":
        yield f"the camera {camera.source}", camera.source


def _others(subject: Subject) -> Iterator[tuple[str, Path, Config]]:
    """The instances that run, or will at the next start of the board: who, its configuration's path, and that."""
    found = dict[Path, str]()
    for one in processes.daemons(subject.root):
        path = _config_of(one)
        if path is not None:
            found[path] = one.unit or f"process {one.pid}"
    folder = subject.root / SERVICES
    if subject.path.absolute().parent == folder:
        for path in sorted(folder.glob("*.toml")):
            unit = unit_of(path, subject.root, subject.show)
            if unit is not None and (unit.is_running or unit.enabled.startswith("enabled")):
                found[path] = unit.name
    for path, who in found.items():
        if path.absolute() == subject.path.absolute():
            continue
        try:
            yield who, path, load(path, lent(path, root=subject.root, show=subject.show))
        except ConfigError:  # it does not run with that, or is not for this user to see
            continue


def _config_of(process: Process) -> Path | None:
    """The configuration of a daemon, by its command line; None where that cannot be told."""
    words = process.words
    for index, word in enumerate(words):
        if word.startswith("--config="):
            return _absolute(word.removeprefix("--config="))
        if word == "--config" and index + 1 < len(words):
            return _absolute(words[index + 1])
    return Path("/", SERVICES, "edged.toml")


def _absolute(name: str) -> Path | None:
    path = Path(name)
    return path if path.is_absolute() else None


def _runs(process: Process, path: Path) -> bool:
    return _config_of(process) == path.absolute()
