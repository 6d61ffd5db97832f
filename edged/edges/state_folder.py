"""The state folder: small JSON files that outlive the process, each replaced whole and never written in place."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger("edged.state")

SYSTEM = Path("/var/lib/edged")


def state_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Where state lives: `$STATE_DIRECTORY` (systemd sets it), else /var/lib/edged for root, else the user's own."""
    given = environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return SYSTEM
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - never raises
    return Path(home) / "edged"


def whose_state(environ: Mapping[str, str] = os.environ) -> str | None:
    """What a user must be told whose commands use another folder than the service does; None where there is nothing."""
    if environ.get("STATE_DIRECTORY") or os.geteuid() == 0 or not SYSTEM.is_dir():
        return None
    return f"state is kept in {state_root(environ)}; the service's is {SYSTEM}: run the command with sudo to use that"


class StateFolder:
    """The folder of one device. Made when first written; a folder that cannot be written is no reason to stop.

    Args:
        path: `<device>/` in the state root.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def inner(self, name: str) -> StateFolder:
        """A folder within this one."""
        return StateFolder(self.path / name)

    def read(self, name: str) -> dict[str, Any]:
        """The JSON object in a file; empty where there is none or it is damaged."""
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, name: str, content: Mapping[str, Any]) -> bool:
        """Replaces a file, durably; False, with one line in the log, where that is not possible.

        What is there already is not written once more: cards wear out by being written.
        A file or folder that root makes belongs to the folder's owner, so that the service can replace it later.
        """
        try:
            self._make(self.path)
            payload = json.dumps(content, indent=1).encode()
            if not self._has(name, payload):
                self._replace(name, payload)
        except OSError as error:
            log.warning("%s cannot be kept in %s (%s); going on without", name, self.path, error.strerror)
            return False
        return True

    def _has(self, name: str, payload: bytes) -> bool:
        try:
            return (self.path / name).read_bytes() == payload
        except OSError:
            return False

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            owner = folder.parent.stat()
            os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def _give(self, descriptor: int) -> None:
        """Never by name: the owner of the folder may have put a link to any other file there meanwhile."""
        if os.geteuid() == 0:
            owner = self.path.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _replace(self, name: str, payload: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=self.path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(payload)
                file.flush()
                self._give(file.fileno())
                os.fsync(file.fileno())
            Path(temporary).replace(self.path / name)
        except OSError:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
