"""A JSON object from outside, read strictly, and what of it may be shown again.

Law: whatever bytes come in, the result is a `Body`, never an exception. Its size, depth and numbers are bounded before
anything is built from it; a key that is given twice, NaN and Infinity are faults. What is shown of it is short and
plain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 4096
MAX_DEPTH = 8
"""No request has anything nested in it; a little is read so that the refusal can name the key."""
MAX_TRANSACTION_CHARACTERS = 128
MAX_SAFE_INTEGER = 2**53 - 1
"""The whole numbers that every reader of JSON has exactly (RFC 8259, 6)."""
MAX_SHOWN_CHARACTERS = 40

Transaction = str | int | None


@dataclass(frozen=True, slots=True)
class Body:
    """What a request says. `fault`: why it cannot be used; `transaction`: readable for all that, or None."""

    values: Mapping[str, object]
    transaction: Transaction = None
    fault: str | None = None


def read(payload: bytes) -> Body:
    """Reads a flat JSON object; nothing at all is an empty one."""
    if len(payload) > MAX_BYTES:
        return Body({}, fault=f"expected at most {MAX_BYTES} bytes, found {len(payload)}; send less")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        found = f"found byte 0x{payload[error.start]:02x} at {error.start}"
        return Body({}, fault=f"expected UTF-8, {found}; send a JSON object as UTF-8")
    if _is_deep(text):
        return Body({}, fault=f"expected a flat JSON object, found more than {MAX_DEPTH} levels; nest nothing")
    strict = _Strict()
    try:
        values = json.loads(text or "{}", object_pairs_hook=strict.object, parse_constant=strict.constant)
    except json.JSONDecodeError as error:
        return Body({}, fault=f"expected a JSON object, found a mistake at character {error.pos + 1}; mend it")
    except ValueError:  # of int(), where the interpreter's limit of digits is set lower than a payload's
        return Body({}, fault="expected numbers of a sensible size, found too many digits; send fewer")
    if not isinstance(values, dict):
        return Body({}, fault=f"expected a JSON object, found {shown_value(values)}; send something like {{}}")
    transaction, fault = (None, None) if "transaction" in strict.twice else _transaction(values)
    return Body(values, transaction, strict.fault or fault)


class _Strict:
    """What the parser would let pass: noted, so that the transaction can be read for all that.

    Attributes:
        fault: the first.
        twice: the keys that an object has twice.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self.twice: set[str] = set()

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                self.twice.add(key)
                self.fault = self.fault or f"expected each key once, found {shown(key)} twice; leave one out"
            found[key] = value
        return found

    def constant(self, word: str) -> None:
        self.fault = self.fault or f"expected numbers, found {word}; JSON has no such number"


def _is_deep(text: str) -> bool:
    """Whether anything is nested so deep that the parser, which recurses, is not to see it."""
    depth, quoted, escaped = 0, False, False
    for character in text:
        if escaped:
            escaped = False
        elif character == '"':
            quoted = not quoted
        elif quoted:
            escaped = character == "\\"
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif character in "]}":
            depth -= 1
    return False


def _transaction(values: Mapping[str, object]) -> tuple[Transaction, str | None]:
    if "transaction" not in values:
        return None, None
    value = values["transaction"]
    if isinstance(value, str) and len(value) <= MAX_TRANSACTION_CHARACTERS and _is_utf8(value):
        return value, None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE_INTEGER:
        return value, None
    expected = f"expected text of at most {MAX_TRANSACTION_CHARACTERS} characters or a whole number of at most 2^53 - 1"
    return None, f"transaction: {expected}, found {shown_value(value)}; it is optional"


def _is_utf8(text: str) -> bool:
    """Half a surrogate pair, which JSON can escape, cannot be sent back."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def shown_key(body: Body, key: str) -> str:
    """What a refusal says was found under a key."""
    return shown_value(body.values[key]) if key in body.values else "nothing"


def shown_value(value: object) -> str:
    """What a refusal says was found: small things themselves, large things by their kind."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return _cut(repr(value))


def shown(text: str) -> str:
    """In quotes, cut, and nothing in it that a terminal or a log would obey."""
    return f'"{_cut("".join(c if c.isprintable() else "?" for c in text[: MAX_SHOWN_CHARACTERS + 1]))}"'


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def shown_bytes(payload: bytes) -> str:
    """The same for bytes that should have been a plain word."""
    return shown(payload[: 4 * MAX_SHOWN_CHARACTERS + 4].decode(errors="replace")) if payload else "nothing"
