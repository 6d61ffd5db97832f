"""All checks in their order, each in a time limit of its own: what hangs is a finding, and never hangs the doctor."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from edged.config import Config
from edged.core.findings import Finding, problem, unavailable
from edged.doctor import board, broker, camera, files, hiding, model, service
from edged.doctor.subject import Subject
from edged.edges import memory, units
from edged.instances import ROOT, Show, lent, unit_of

log = logging.getLogger("edged.doctor")

LIMIT_S = 30.0
"""For what reads files and asks systemd; a busy board takes seconds for that."""
MODEL_LIMIT_S, CAMERA_LIMIT_S, BROKER_LIMIT_S = 120.0, 45.0, 45.0

Findings = Finding | Iterable[Finding]
Check = Callable[[], Findings]


def examine(path: Path, root: Path = ROOT, show: Show = units.show) -> Iterator[Finding]:
    """Looks at everything, and yields each finding as soon as it is known.

    Args:
        path: of the configuration. Where it cannot be used, the board is looked at all the same.
        root: above /proc, /sys, /dev, /run, /etc and /var of the board.
        show: asks systemd for a unit.
    """
    memory.forbid_core_dumps()
    config, found = model.configuration(path, lent(path, root=root, show=show))
    yield from found
    subject = Subject(path, config, unit_of(path, root, show), root, show)
    if config is not None:
        yield from hiding.visibility(subject, config)
    for names, limit_s, check in _checks(subject):
        if check is None:
            yield from (unavailable(name, "not looked at without a configuration") for name in names)
        else:
            yield from within(limit_s, names[0], check)


def _checks(subject: Subject) -> Iterator[tuple[tuple[str, ...], float, Check | None]]:
    """What each check is called, how long it may take, and the check; None for one that lacks its configuration."""
    config = subject.config

    def given(look: Callable[[Subject, Config], Findings]) -> Check | None:
        return None if config is None else lambda: look(subject, config)

    yield ("model", "speed", "rules"), MODEL_LIMIT_S, given(model.fitness)
    yield ("camera",), CAMERA_LIMIT_S, given(camera.camera)
    yield ("csi",), LIMIT_S, lambda: board.csi(subject)
    yield ("broker", "publishing", "discovery", "device"), BROKER_LIMIT_S, given(broker.broker)
    yield ("clock",), LIMIT_S, lambda: board.time(subject)
    yield ("power", "temperature", "memory"), LIMIT_S, lambda: board.figures(subject)
    yield ("disk",), LIMIT_S, lambda: files.disk(subject)
    yield ("state",), LIMIT_S, lambda: files.state(subject)
    yield ("outbox",), LIMIT_S, given(files.outbox)
    yield ("secrets",), LIMIT_S, given(files.secrets)
    yield ("core dumps",), LIMIT_S, lambda: service.core_dumps(subject)
    yield ("service",), LIMIT_S, lambda: service.service(subject)
    yield ("network lock",), LIMIT_S, given(service.network_lock)
    yield ("instances",), LIMIT_S, given(service.instances)


def within(limit_s: float, name: str, check: Check) -> Iterator[Finding]:
    """What a check finds within its time; where it does not end, what it found so far, and that it did not."""
    found = list[Finding]()
    ended = threading.Event()

    def look() -> None:
        try:
            made = check()
            if isinstance(made, Finding):
                found.append(made)
            else:
                found.extend(made)
        except Exception as error:
            # One check that stumbles must not keep a person from the others.
            log.debug("%s could not be looked at", name, exc_info=True)
            found.append(
                problem(
                    name, f"it could not be looked at ({type(error).__name__})", "report this: it is a fault of edged"
                )
            )
        ended.set()

    threading.Thread(target=look, name=f"edged-doctor-{name}", daemon=True).start()
    is_done = ended.wait(limit_s)
    yield from tuple(found)
    if not is_done:
        yield problem(
            name,
            f"it gave no answer within {limit_s:g} s",
            "a driver, a disk or the network hangs: check cables and power, then restart the board",
        )
