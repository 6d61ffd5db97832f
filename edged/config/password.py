"""The files with the passwords of the broker and of a network camera, read whenever one is asked for and never kept.

Law: the only place that reads a secret. Sentences name the file and never what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MAX_PASSWORD_BYTES = 65535  # MQTT's own bound
MQTT_CREDENTIAL, CAMERA_CREDENTIAL = "mqtt-password", "camera-password"
"""The names of the systemd credentials."""
NO_PASSWORD = b"\n"
"""A credential that says that there is none: what edged.service sets where the file is missing."""
ROOTS_FOLDER = Path("/etc/edged/credentials")
"""Root's alone: the service gets what lies there from systemd, under the name of the credential."""
Lent = Mapping[str, Path]
"""The files that systemd makes a service's credentials of, by the name of the credential."""
ROOTS: Lent = {name: ROOTS_FOLDER / name for name in (MQTT_CREDENTIAL, CAMERA_CREDENTIAL)}
"""Those of a service without a drop-in that names others."""


def password_path(password_file: str | None, username: str | None, credential: str, lent: Lent = ROOTS) -> Path | None:
    """The file that holds a password: the one that is named, else the systemd credential; None: there is no login."""
    if password_file is not None:
        return Path(password_file)
    return _handed(credential, lent) if username is not None else None


def as_handed(named: Path, credential: str, lent: Lent = ROOTS) -> Path:
    """The file that is named; the credential, where that is the file which systemd made the credential of.

    Root, who runs `edged check`, may read either, and the service the credential alone.
    """
    return (_handed(credential, lent) or named) if named == ROOTS_FOLDER / credential else named


def _handed(credential: str, lent: Lent) -> Path | None:
    """The credential, from systemd or, for a command that root runs by hand, from where systemd takes it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, credential) if folder else lent.get(credential)
    if path is None or not os.access(path.parent, os.X_OK) or not path.exists() or _is_none(path):
        return None
    return path


def _is_none(path: Path) -> bool:
    """Whether a credential is what edged.service sets where nobody made the file: an empty line."""
    try:
        with path.open("rb") as file:
            return file.read(2) == NO_PASSWORD
    except OSError:
        return False  # `read_password` says why


def read_password(path: Path) -> str:
    """The one line of a password file, without its line end.

    Raises:
        ValueError: it is missing, unreadable, empty, or no text; a sentence for a person.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no file; allowed: a file that holds the password alone")
        with path.open("rb") as file:
            data = file.read(MAX_PASSWORD_BYTES + 3)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); allowed: a file that edged may read") from None
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data or len(data) > MAX_PASSWORD_BYTES or b"\n" in data:
        raise ValueError(f"{path} is empty or has more than one line; allowed: the password alone")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no UTF-8 text; allowed: the password alone, as text") from None
