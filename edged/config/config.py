"""What `load` gives: the tables, and the lines that they came from.

Law: values alone. A password is read when it is asked for and is part of no value, so that no repr, log line or
traceback of a `Config` can carry it.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edged.config.lines import Lines
from edged.config.password import CAMERA_CREDENTIAL, MQTT_CREDENTIAL, ROOTS, Lent, password_path, read_password
from edged.config.tables import (
    CameraTable,
    DeviceTable,
    ModelTable,
    MotionTable,
    MqttTable,
    OutboxTable,
    RegionTable,
    RuleTable,
)
from edged.core.errors import ConfigError

Finding = tuple[tuple[str | int, ...], str]
"""A key and what is wrong with it, what is allowed."""


@dataclass(frozen=True)
class Config:
    """A configuration that is valid by itself. Whether it fits the model is for `resolve` to say.

    Attributes:
        path: the file, as it was named.
        regions: the [[region]] tables, in the file's order, without the implicit region "full".
        rules: the [[rule]] tables, in the file's order, each with a name.
        warnings: one line each, in the form of a problem; nothing that stops the daemon.
        lent: where its service has its credentials from.
    """

    device: DeviceTable
    camera: CameraTable
    model: ModelTable
    motion: MotionTable
    regions: tuple[RegionTable, ...]
    rules: tuple[RuleTable, ...]
    mqtt: MqttTable
    outbox: OutboxTable
    warnings: tuple[str, ...] = ()
    path: Path = field(default=Path("edged.toml"), repr=False, compare=False)
    lines: Lines = field(default_factory=lambda: Lines(""), repr=False, compare=False)
    lent: Lent = field(default_factory=lambda: ROOTS, repr=False, compare=False)

    def where(self, *key: str | int) -> str:
        """The "FILE:LINE" of a key, such as `where("rule", 1, "label")`; indices count from 0."""
        return f"{self.path}:{self.lines.line(key)}"

    def problem(self, key: tuple[str | int, ...], text: str) -> str:
        """One line about a key in the form that `ConfigError` wants: `FILE:LINE: key: text`."""
        return f"{self.where(*key)}: {dotted(key)}: {text}"

    def password_path(self) -> Path | None:
        """The file that holds the broker's password: `password_file`, else the systemd credential; None: no login."""
        return password_path(self.mqtt.password_file, self.mqtt.username, MQTT_CREDENTIAL, self.lent)

    def camera_password_path(self) -> Path | None:
        """The same for a network camera."""
        return password_path(self.camera.password_file, self.camera.username, CAMERA_CREDENTIAL, self.lent)

    def password(self) -> str | None:
        """The broker's password, read anew at every call; None where there is none.

        Raises:
            ConfigError: its file is missing, unreadable, empty, or no text.
        """
        return self._read("mqtt", self.password_path())

    def camera_password(self) -> str | None:
        """The camera's password, as `password`."""
        return self._read("camera", self.camera_password_path())

    def unreadable_secrets(self) -> list[Finding]:
        """The passwords that cannot be read, each with its key and what is wrong."""
        return [
            ((table, "password_file"), found)
            for table, path in (("mqtt", self.password_path()), ("camera", self.camera_password_path()))
            if (found := _trouble(path)) is not None
        ]

    def exposed_secrets(self) -> list[tuple[tuple[str, ...], Path]]:
        """The files of passwords and keys that every user of the board may read, with the key that names each."""
        tls = self.mqtt.tls
        named: list[tuple[tuple[str, ...], Path | None]] = [
            (("mqtt", "password_file"), self.password_path()),
            (("camera", "password_file"), self.camera_password_path()),
            (("mqtt", "tls", "key_file"), Path(tls.key_file) if tls and tls.key_file else None),
        ]
        return [(key, path) for key, path in named if path is not None and path.stat().st_mode & stat.S_IROTH]

    def _read(self, table: str, path: Path | None) -> str | None:
        if path is None:
            return None
        try:
            return read_password(path)
        except ValueError as error:
            raise ConfigError(self.problem((table, "password_file"), str(error))) from None


def _trouble(path: Path | None) -> str | None:
    try:
        if path is not None:
            read_password(path)
    except ValueError as error:
        return str(error)
    return None


def refusal(path: Path, lines: Lines, findings: Iterable[Finding]) -> ConfigError:
    """Every problem of a file, one line each, in the file's order."""
    placed = sorted({(lines.line(key), f"{dotted(key)}: {sentence}") for key, sentence in findings})
    return ConfigError(*(f"{path}:{line}: {sentence}" for line, sentence in placed))


def dotted(key: tuple[str | int, ...]) -> str:
    """A key as people write it: `rule[2].label`. Indices count from 1 here: the second [[rule]] of the file."""
    parts: list[str] = []
    for part in key:
        if isinstance(part, int):
            parts[-1:] = [f"{parts[-1] if parts else ''}[{part + 1}]"]
        else:
            parts.append(part if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", part) else _quoted(part))
    return ".".join(parts)


def _quoted(name: str) -> str:
    # repr() escapes what cannot be shown; a colon would end the key in `FILE:LINE: key: text`.
    return repr(name[:64]).replace(":", r"\x3a")
