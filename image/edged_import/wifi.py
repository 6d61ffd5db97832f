"""wifi.txt: which Wi-Fi the board uses, and the file that wpa_supplicant reads.

Law: text in, text out; no file is opened here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from edged_import.texts import Problem, Refused, plain_lines

KEYS = ("ssid", "password", "country", "hidden")
NOTE = "password: on the board"


@dataclass(frozen=True)
class Wifi:
    """One network.

    Attributes:
        ssid: its name, 1 to 32 bytes.
        key: the pre-shared key, 64 hexadecimal digits: made from the password, which is not kept.
        country: two capital letters of ISO 3166-1.
        hidden: it does not announce itself.
        password_line: where the password stands, from 1.
    """

    ssid: bytes
    key: str
    country: str
    hidden: bool
    password_line: int


def read(name: str, plain: str) -> Wifi | None:
    """What the file says; None: nothing, all of it is comments.

    Raises:
        Refused: with every problem of it.
    """
    found: dict[str, tuple[int, str]] = {}
    problems = []
    for number, line in plain_lines(plain):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or key not in KEYS:
            problems.append(Problem(name, number, f"expected one of {', '.join(KEYS)}, then = and its value"))
        elif key in found:
            problems.append(Problem(name, number, f"{key} is already on line {found[key][0]}; leave one of them out"))
        else:
            found[key] = number, value
    if not found and not problems:
        return None
    problems += [Problem(name, None, _missing(key)) for key in KEYS[:3] if key not in found]
    problems += [
        Problem(name, number, sentence) for key, (number, value) in found.items() if (sentence := _wrong(key, value))
    ]
    if problems:
        raise Refused(*sorted(problems, key=lambda problem: problem.line or 0))
    ssid, (password_line, password) = found["ssid"][1].encode(), found["password"]
    hidden = found.get("hidden", (0, "no"))[1] == "yes"
    return Wifi(ssid, _key(ssid, password), found["country"][1].upper(), hidden, password_line)


def _missing(key: str) -> str:
    if key == "country":
        return (
            "country is missing; expected the two letters of where you are, as in country = DE: channels depend on it"
        )
    if key == "password":
        return (
            "password is missing; expected password = and the password of the network; write it anew for a new network"
        )
    return "ssid is missing; expected ssid = and the name of the network"


def _wrong(key: str, value: str) -> str | None:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return f"{key}: expected the value without quotes"
    if key == "ssid" and not 1 <= len(value.encode()) <= 32:
        return f"ssid: found {len(value.encode())} bytes; expected 1 to 32"
    if key == "password" and not re.fullmatch(r"[ -~]{8,63}|[0-9A-Fa-f]{64}", value):
        return f"password: expected 8 to 63 letters, digits and signs of ASCII, found {len(value)} characters"
    if key == "country" and not re.fullmatch(r"[A-Za-z]{2}", value):
        return f"country: found {value[:10]!r}; expected two letters, as in DE"
    if key == "hidden" and value not in ("yes", "no"):
        return f"hidden: found {value[:10]!r}; expected yes or no"
    return None


def _key(ssid: bytes, password: str) -> str:
    """The key as IEEE 802.11i makes it from a pass phrase; 64 digits are the key itself."""
    if len(password) == 64:
        return password.lower()
    return hashlib.pbkdf2_hmac("sha1", password.encode("ascii"), ssid, 4096, 32).hex()


def supplicant(wifi: Wifi) -> str:
    """The configuration of wpa_supplicant(8): the name in hexadecimal, so that no character of it needs an escape."""
    return "\n".join(
        (
            "# Written by edged-import from wifi.txt.",
            "ctrl_interface=/run/wpa_supplicant",
            f"country={wifi.country}",
            "network={",
            f"\tssid={wifi.ssid.hex()}",
            f"\tscan_ssid={int(wifi.hidden)}",
            "\tkey_mgmt=WPA-PSK",
            f"\tpsk={wifi.key}",
            "}",
            "",
        )
    )
