"""The order of things: what is read, judged, kept on the board and taken off the card.

Law: the board has its name before a configuration is judged, which may take its own from it. A file is taken whole or
not at all. Secrets are kept before they are taken off the card; that a file was taken is noted last. So a power cut
between any two steps makes the next start do the same again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from edged_import import durable, keys, misnomers, names, passwords, texts, wifi
from edged_import.card import Card
from edged_import.texts import Problem, Refused

CONFIG, WIFI, HOST_NAME, KEYS = FILES = "edged.toml", "wifi.txt", "hostname.txt", "authorized_keys"

NO_CONFIG = (
    "there is none yet; copy edged-example.toml to edged.toml, beside it, and write your camera and broker into it"
)
HIDDEN = "Windows shows all of a name with View, Show, File name extensions"


class Import:
    """One start of the board.

    Args:
        card: the partition with the files.
        root: the file system of the board, "/" but for tests.
        check: what is wrong with a configuration at this path, told as a problem of a file of this name.
        set_name: gives the running system its name.
        serial: asks for the board's serial number, "" where there is none.
    """

    def __init__(
        self,
        card: Card,
        root: Path,
        check: Callable[[Path, str], list[Problem]],
        set_name: Callable[[str], None],
        serial: Callable[[], str],
    ) -> None:
        self._card = card
        self._root = root
        self._check = check
        self._set_name = set_name
        self._serial = serial

    def run(self, files: Collection[str] = FILES) -> list[Problem]:
        """Takes what is new of these files on the card, and names the board; returns what is wrong with them."""
        takes = {HOST_NAME: self._host_name, WIFI: self._wifi, KEYS: self._keys, CONFIG: self._config}
        problems: list[Problem] = []
        for name in (name for name in takes if name in files):
            problems += self._misnamed(name)
            try:
                self._take_new(name, takes[name])
            except Refused as refused:
                problems += refused.problems
            except (OSError, ValueError) as error:
                problems.append(Problem(name, None, f"could not be taken over ({error}); is the card worn out?"))
            if name == HOST_NAME:
                problems += self._name_board()
        return problems

    def _misnamed(self, name: str) -> Iterator[Problem]:
        """Told as long as it is there: nobody can say whether it is older or newer than the file beside it."""
        for found in self._card.names():
            if misnomers.meant(found, FILES) == name:
                sentence = f"is not read; expected a plain text called {name}: rename it, or delete it ({HIDDEN})"
                yield Problem(found, None, sentence)

    def _name_board(self) -> Iterator[Problem]:
        try:
            self._set_name(self._board_name())
        except OSError as error:
            yield Problem(HOST_NAME, None, f"the board's name could not be set ({error}); is the card worn out?")

    def _board_name(self) -> str:
        """The name that the board has from now on: the one it was given, or one from its serial number."""
        path = self._root / "etc/hostname"
        try:
            name = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            name = ""
        if name in ("", names.UNNAMED):
            name = names.from_serial(self._serial())
            durable.write(path, f"{name}\n".encode(), 0o644)
        return name

    def _take_new(self, name: str, take: Callable[[bytes], bytes]) -> None:
        data = self._card.read(name)
        if data is None:
            is_first = name == CONFIG and not (self._root / "etc/edged" / CONFIG).exists()
            if is_first and not any(self._misnamed(CONFIG)):
                raise Refused(Problem(CONFIG, None, NO_CONFIG))
            return
        note = self._root / "var/lib/edged-import" / f"{name}.sha256"
        if note.is_file() and note.read_bytes() == _digest(data):
            return
        left = take(data)
        if left != data:
            self._card.comment_out(name, left)
        durable.write(note, _digest(left), 0o600)

    def _host_name(self, data: bytes) -> bytes:
        name = names.read(HOST_NAME, texts.text(HOST_NAME, data))
        if name is not None:
            durable.write(self._root / "etc/hostname", f"{name}\n".encode(), 0o644)
        return data

    def _wifi(self, data: bytes) -> bytes:
        network = wifi.read(WIFI, texts.text(WIFI, data))
        if network is None:
            return data
        path = self._root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"
        durable.write(path, wifi.supplicant(network).encode(), 0o600)
        return texts.blanked(data, frozenset({network.password_line}), wifi.NOTE)

    def _keys(self, data: bytes) -> bytes:
        authorized = keys.read(KEYS, texts.text(KEYS, data))
        if authorized is not None:
            folder = self._root / "root/.ssh"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            durable.write(folder / "authorized_keys", authorized.encode(), 0o600)
        return data

    def _config(self, data: bytes) -> bytes:
        folder = self._root / "etc/edged"
        credentials = folder / "credentials"
        parts = passwords.split(CONFIG, texts.text(CONFIG, data))
        problems = [*self._check_apart(folder, parts.plain), *_without_password(parts, credentials)]
        if problems:
            raise Refused(*sorted(problems, key=lambda problem: problem.line or 0))
        credentials.mkdir(mode=0o700, exist_ok=True)
        for credential, password in parts.passwords.items():
            durable.write(credentials / credential, f"{password}\n".encode(), 0o600)
        durable.write(folder / CONFIG, parts.plain.encode(), 0o644)
        return texts.blanked(data, parts.lines, passwords.NOTE)

    def _check_apart(self, folder: Path, plain: str) -> list[Problem]:
        """Checked in the folder where it will be, because paths in it count from there."""
        apart = folder / ".edged.toml.import"
        try:
            durable.write(apart, plain.encode(), 0o600)
            return self._check(apart, CONFIG)
        finally:
            apart.unlink(missing_ok=True)


def _without_password(parts: passwords.Split, credentials: Path) -> Iterator[Problem]:
    for table, line in parts.logins.items():
        credential = passwords.TABLES[table]
        if credential not in parts.passwords and not (credentials / credential).exists():
            wanted = f'expected password = "..." below it in [{table}]'
            yield Problem(CONFIG, line, f"{table}.username: the board has no password for it; {wanted}")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"\n"
