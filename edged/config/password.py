"""The files with the passwords of the broker and of a network camera, read whenever one is asked for and never kept.

Law: the only place that reads a secret. Sentences name the file and never what is in it.
"""

from __future__ import annotations

import os
from pathlib import Path

MAX_PASSWORD_BYTES = 65535  # MQTT's own bound
MQTT_CREDENTIAL, CAMERA_CREDENTIAL = "mqtt-password", "camera-password"
"""The names of the systemd credentials."""
NO_PASSWORD = b"\n"
"""A credential that says that there is none: what edged.service sets where the file is missing."""
ROOTS_FOLDER = Path("/etc/edged/credentials")
"""Root's alone: the service gets what lies there from systemd, under the name of the credential."""


def password_path(password_file: str | None, username: str | None, credential: str) -> Path | None:
    """The file that holds a password: the one that is named, else the systemd credential; None: there is no login."""
    if password_file is not None:
        return Path(password_file)
    return _handed(credential) if username is not None else None


def as_handed(named: Path, credential: str) -> Path:
    """The file that is named; the credential, where that is the file which systemd made the credential of.

    Root, who runs `edged check`, may read either, and the service the credential alone.
    """
    return (_handed(credential) or named) if named == ROOTS_FOLDER / credential else named


def _handed(credential: str) -> Path | None:
    """The credential, from systemd or, for a command that root runs by hand, from where systemd takes it."""
    folder = Path(os.environ.get("CREDENTIALS_DIRECTORY") or ROOTS_FOLDER)
    path = folder / credential
    return path if os.access(folder, os.X_OK) and path.exists() and not _is_none(path) else None


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
