"""What lies on the disk: the state folder, the outbox, the secrets, and the room that is left."""

from __future__ import annotations

import os
from pathlib import Path

from edged.config import Config
from edged.core.board_findings import disk as disk_finding
from edged.core.errors import EdgedError
from edged.core.findings import Finding, ok, problem, unavailable, warning
from edged.core.service_findings import Possession
from edged.core.service_findings import secrets as secrets_finding
from edged.doctor.subject import Subject
from edged.edges import board, outbox_reading, ownership
from edged.edges.state_folder import whose_state

SUDO = "run it with sudo"


def disk(subject: Subject) -> Finding:
    """Room on the file system of the state folder, or of what is there of its path."""
    try:
        place = _existing(_visible(subject.folder))
        return disk_finding(str(place), board.disk_free_mb(place), ownership.is_read_only(place))
    except OSError:
        return disk_finding(str(subject.folder), None, is_read_only=False)


def state(subject: Subject) -> Finding:
    """Whether the daemon can keep its state, and whose that is."""
    folder = subject.folder
    try:
        held = ownership.look(folder)
        if held is None:
            place = _existing(folder)
            if os.access(place, os.W_OK) or subject.is_service:
                return ok("state", f"{folder} is not there yet: it is made at the first start")
            return problem("state", f"{folder} is not there, and {place} cannot be written", _writable(place))
        foreign = ownership.strangers(folder)
    except PermissionError:
        return unavailable("state", f"{folder} is not for this user to see", SUDO)
    except OSError as error:
        return problem("state", f"{folder} cannot be looked at ({error.strerror})", "check the disk: `dmesg`")
    if foreign:
        return problem(
            "state",
            f"in {folder}, which is {held.owner}'s, {', '.join(foreign)} belong{'s' if len(foreign) == 1 else ''} to "
            "somebody else",
            f"sudo chown -R {held.owner}: {folder}",
        )
    if not subject.is_service and not os.access(folder, os.W_OK):
        return problem("state", f"{folder} ({held.owner}'s) cannot be written by this user", _writable(folder))
    note = None if subject.is_service else whose_state()
    return warning("state", *note.split(": ", 1)) if note else ok("state", f"{folder}, {held.owner}'s")


def outbox(subject: Subject, config: Config) -> Finding:
    """What waits for the broker, and what was lost or put aside."""
    path = subject.folder / config.outbox.path
    try:
        damaged = outbox_reading.put_aside(path)
        kept = outbox_reading.read_kept(path)
    except PermissionError:
        return unavailable("outbox", f"{path} is not for this user to see", SUDO)
    except (EdgedError, OSError) as error:
        if subject.unit is not None and subject.unit.is_running:
            return unavailable("outbox", "the service holds it; `edged watch` shows how many events wait")
        return problem(
            "outbox",
            f"{path} cannot be read ({error})",
            "end what else uses it; a damaged one is put aside at the next start, and a new one begun",
        )
    if damaged:
        return warning(
            "outbox",
            f"a damaged one was put aside as {', '.join(damaged)}: events in it were not sent",
            f"check the card and the supply; when it is no longer wanted: sudo rm {path.parent / damaged[0]}*",
        )
    if kept is None:
        return ok("outbox", "there is none yet: it is made at the first start")
    told = f"{kept.waiting} {'event waits' if kept.waiting == 1 else 'events wait'} for the broker"
    if kept.dropped or kept.set_aside:
        return warning(
            "outbox",
            f"{told}; {kept.dropped} were pushed out by newer ones, {kept.set_aside} were refused by the broker",
            "pushed out: the broker was away for long, or the bounds in [outbox] are narrow; refused: see publishing",
        )
    return ok("outbox", told)


def secrets(subject: Subject, config: Config) -> Finding:
    """Whether password and key files are edged's alone."""
    own = [config.camera.password_file, config.mqtt.password_file, config.mqtt.tls and config.mqtt.tls.key_file]
    files = [Path(one) for one in own if one]
    lent = [Path(one) for one in (subject.unit.credentials.values() if subject.unit else ()) if one.startswith("/")]
    seen, unseen = list[Possession](), list[str]()
    for path in dict.fromkeys((*files, *lent, *(one.parent for one in (*files, *lent)))):
        try:
            held = ownership.look(path)
        except PermissionError:
            unseen.append(str(path))
        else:
            seen += [held] if held else []
    user = subject.unit.user if subject.is_service and subject.unit is not None else ""
    may = {str(path): answer for path in files if user and (answer := ownership.may_read(path, user)) is not None}
    return secrets_finding([one for one in seen if not _is_shared(one)], unseen, user, may)


def _is_shared(one: Possession) -> bool:
    """A folder like /tmp, in which nobody can replace what is another's."""
    return one.is_folder and bool(one.mode & 0o1000)


def _existing(path: Path) -> Path:
    """The nearest folder of a path that is there.

    Raises:
        OSError: this user may not look.
    """
    while ownership.look(path) is None:
        path = path.parent
    return path


def _visible(path: Path) -> Path:
    """The path, up to the first folder into which this user may not look."""
    while path != path.parent:
        try:
            path.stat()
        except PermissionError:
            path = path.parent
        except OSError:
            break
        else:
            break
    return path


def _writable(place: Path) -> str:
    return f"run edged as a user who may write {place}, or name another folder with STATE_DIRECTORY"
