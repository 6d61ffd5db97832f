"""The certificate and key files that [mqtt.tls] names: whether they can be used, before anything is connected.

Law: sentences name the file and never what is in it. Nothing is kept, and no clock is asked: whether a certificate has
expired shows when the broker is met, because a board without a battery starts in the past.
"""

from __future__ import annotations

import ssl
from pathlib import Path

PEM = "-----BEGIN CERTIFICATE-----"


def check_authority(path: Path) -> None:
    """Whether a file has certificates of authorities in it.

    Raises:
        ValueError: it is missing, unreadable, or holds none; a sentence for a person.
    """
    _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        raise ValueError(f"{path} holds no certificate; allowed: a PEM file, with a line {PEM}") from None


def check_certificate(path: Path) -> None:
    """Whether a file has the certificate of a device in it.

    Raises:
        ValueError: as `check_authority`.
    """
    check_authority(path)


def check_key(path: Path, certificate: Path | None) -> None:
    """Whether a file has the private key of a certificate in it (None: of any).

    Raises:
        ValueError: it is missing, unreadable, locked by a passphrase, no key, or that of another certificate.
    """
    _read(path)
    if certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, path, password=_no_passphrase)
    except _LockedError:
        raise ValueError(f"{path} is locked by a passphrase; allowed: a key that opens without one") from None
    except (ssl.SSLError, OSError) as error:
        if "MISMATCH" in (getattr(error, "reason", None) or ""):
            raise ValueError(f"{path} does not belong to {certificate}; allowed: the key of cert_file") from None
        raise ValueError(f"{path} holds no private key; allowed: a PEM file, with a line -----BEGIN") from None


class _LockedError(Exception):
    pass


def _no_passphrase() -> str:
    # Without this OpenSSL would ask for one on the terminal, and a service would wait for ever.
    raise _LockedError


def _read(path: Path) -> None:
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no file; allowed: the path of a PEM file")
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); allowed: a file that edged may read") from None
