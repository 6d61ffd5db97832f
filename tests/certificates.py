"""Certificates as people make them at home, by the openssl command line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
LEAF = "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"


class Authority:
    """A certificate authority in a folder: `ca.pem`, and what it signs beside it.

    Args:
        folder: made where it is not there.
        formal: whether it has what RFC 5280 asks of an authority.
    """

    def __init__(self, folder: Path, formal: bool = True) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.file = folder / "ca.pem"
        self._key = folder / "ca.key"
        settings = folder / "ca.cnf"
        extensions = CA if formal else "basicConstraints=CA:TRUE\n"
        settings.write_text(f"[req]\ndistinguished_name=dn\nx509_extensions=x\n[dn]\n[x]\n{extensions}")
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN=Authority {folder.name}", "-days", "3650", "-config", settings),
            *("-keyout", self._key, "-out", self.file),
        )

    def sign(self, name: str, names: str = "", days: tuple[str, str] | None = None) -> tuple[Path, Path]:
        """A certificate and its key.

        Args:
            names: the subject alternative names, such as "IP:127.0.0.1,DNS:broker.lan".
            days: the first and the last moment of its validity, as YYYYMMDDHHMMSSZ; a year from now where left out.
        """
        certificate, key, request = (self._folder / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
        )
        (self._folder / f"{name}.database").write_text("")
        settings = self._folder / f"{name}.cnf"
        settings.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={self._folder}/{name}.database\nnew_certs_dir={self._folder}\n"
            f"rand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n"
            f"[x]\n{LEAF}{f'subjectAltName={names}' if names else ''}\n"
        )
        validity = ("-startdate", days[0], "-enddate", days[1]) if days else ("-days", "365")
        openssl(
            *("ca", "-batch", "-notext", "-config", settings, "-cert", self.file, "-keyfile", self._key),
            *("-in", request, "-out", certificate, *validity),
        )
        return certificate, key


def openssl(*words: str | Path) -> None:
    """Runs openssl to its end."""
    program = shutil.which("openssl")
    if program is None:
        missing = "no openssl on this machine (apt install openssl)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    subprocess.run([program, *map(str, words)], check=True, capture_output=True, timeout=60)
