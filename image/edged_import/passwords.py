"""Passwords that a person wrote into edged.toml, which edged itself would refuse to read from there.

Law: text in, text and secrets out; no file is opened here.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from edged_import.texts import Problem, Refused, blanked

TABLES = {"mqtt": "mqtt-password", "camera": "camera-password"}
"""Where `password` may stand, and the systemd credential that it becomes."""

NOTE = "password: on the board since it was imported"

_LINE = re.compile(r"""[ \t]*(?:(?:mqtt|camera)[ \t]*\.[ \t]*)?["']?password["']?[ \t]*=""")


@dataclass(frozen=True)
class Split:
    """A configuration and its secrets, apart.

    Attributes:
        plain: the text without its passwords, line for line.
        passwords: credential -> password.
        lines: the lines, from 1, that held them.
        logins: table -> the line of its `username`, for tables that have one and name no `password_file`.
    """

    plain: str
    passwords: dict[str, str]
    lines: frozenset[int]
    logins: dict[str, int]


def split(name: str, plain: str) -> Split:
    """Takes the passwords out of a configuration.

    Raises:
        Refused: it is no TOML, or a password cannot be taken out of it.
    """
    data = _document(name, plain)
    passwords, lines = {}, set()
    for table, credential in TABLES.items():
        inside = data.get(table)
        if isinstance(inside, dict) and "password" in inside:
            line = _line_of(name, plain, table)
            passwords[credential] = _password(name, line, table, inside)
            lines.add(line)
            plain = blanked(plain.encode(), frozenset({line}), NOTE).decode()
    return Split(plain, passwords, frozenset(lines), _logins(plain, data))


def _document(name: str, plain: str) -> dict[str, Any]:
    try:
        return tomllib.loads(plain)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
        line = int(place[1]) if place else plain.rstrip("\n").count("\n") + 1
        what = str(error)[: place.start()] + f" (column {place[2]})" if place else str(error)
        raise Refused(Problem(name, line, f"not valid TOML: {what}")) from None
    except (RecursionError, ValueError):
        raise Refused(Problem(name, 1, "not valid TOML: a number too long, or tables nested too deep")) from None


def _line_of(name: str, plain: str, table: str) -> int:
    """The line that, made a comment, takes this password away and nothing else: no guess can be wrong."""
    wanted = tomllib.loads(plain)
    del wanted[table]["password"]
    rows = plain.split("\n")
    for number, row in enumerate(rows, start=1):
        if not _LINE.match(row):
            continue
        try:
            rest = tomllib.loads("\n".join([*rows[: number - 1], "#", *rows[number:]]))
        except tomllib.TOMLDecodeError:
            continue
        if rest in (wanted, {key: value for key, value in wanted.items() if key != table or value}):
            return number
    written = f'password = "..." on a line of its own below [{table}]'
    raise Refused(Problem(name, None, f"{table}.password cannot be taken out; expected {written}"))


def _password(name: str, line: int, table: str, inside: dict[str, Any]) -> str:
    password = inside["password"]
    if not isinstance(password, str) or not password or re.search(r"[\n\r\0]", password):
        raise Refused(Problem(name, line, f"{table}.password: expected the password in quotes, on one line"))
    if "password_file" in inside:
        raise Refused(Problem(name, line, f"{table}.password: password_file is there, too; leave one of them out"))
    return password


def _logins(plain: str, data: dict[str, Any]) -> dict[str, int]:
    logins = {}
    for table in TABLES:
        inside = data.get(table)
        if isinstance(inside, dict) and "username" in inside and "password_file" not in inside:
            logins[table] = _line_matching(plain, table, "username")
    return logins


def _line_matching(plain: str, table: str, key: str) -> int:
    """About where a key stands: a line number is a help here, never a reason to fail."""
    current, found = "", 1
    for number, row in enumerate(plain.split("\n"), start=1):
        if header := re.match(r"[ \t]*\[+[ \t]*([A-Za-z0-9_.-]+)", row):
            current = header[1]
        if re.match(rf"[ \t]*(?:{table}\.)?{key}[ \t]*=", row) and (current == table or f"{table}." in row):
            found = number
    return found
