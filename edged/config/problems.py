"""Pydantic's findings in the words of this program: what was found, what is allowed.

Law: sentences only, no file is read and nothing is decided here. A value is repeated only where it cannot be a secret.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from edged.config.config import Finding
from edged.config.lines import Path
from edged.config.tables import Document


def _inside(table: type[BaseModel], name: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    for key, field in table.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield f"{name}{key}", kind
                yield from _inside(kind, f"{name}{key}.")


TABLES: Mapping[str, type[BaseModel]] = dict(_inside(Document))
"""Every table by its name in the file; one inside another as "mqtt.tls"."""
LISTS = ("region", "rule")  # written [[rule]], one table each


def findings(error: ValidationError) -> Iterator[Finding]:
    """Every problem of a document, in pydantic's order."""
    for one in error.errors(include_url=False):
        if one["type"] == "too_short" and one["input"]:
            continue  # pydantic counts the valid ones only, and the others have their own finding
        yield tuple(one["loc"]), _sentence(one["type"], tuple(one["loc"]), one["input"], one.get("ctx", {}))


def _sentence(kind: str, key: Path, value: object, context: dict[str, Any]) -> str:
    field = _field(key)
    allowed = field.description if field else None
    if kind == "extra_forbidden":
        return _unknown(key)
    if kind == "missing":
        return f"is missing; allowed: {allowed}"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("too_short", "too_long"):
        return f"has {len(value) if isinstance(value, tuple) else 'too many'}; allowed: {allowed}"
    if kind == "string_too_long":
        return f"is longer than {context['max_length']} characters; allowed: {allowed}"
    name = ".".join(_names(key))
    if name in TABLES:
        return f"found {found(value)}; allowed: a table that begins with {_header(name)}"
    return f"found {found(value)}; allowed: {allowed}"


def _names(key: Path) -> list[str]:
    return [part for part in key if isinstance(part, str)]


def _header(table: str) -> str:
    return f"[[{table}]]" if table in LISTS else f"[{table}]"


def _field(key: Path) -> FieldInfo | None:
    *tables, name = _names(key) or [""]
    table = TABLES.get(".".join(tables)) if tables else Document
    return table.model_fields.get(name) if table else None


def _unknown(key: Path) -> str:
    *tables, name = _names(key)
    if not tables:
        known: Iterable[str] = TABLES
        place, written = "the file", ", ".join(map(_header, TABLES))
    else:
        known = TABLES[".".join(tables)].model_fields
        place, written = _header(".".join(tables)), ", ".join(known)
    close = get_close_matches(name.lower(), known, n=1)
    owners = [owner for owner, table in TABLES.items() if name in table.model_fields]
    if owners:
        return f"unknown key; it belongs under {' or '.join(map(_header, owners))}"
    if close:
        return f"unknown key; did you mean {close[0]}?"
    return f"unknown key; allowed in {place}: {written}"


def found(value: object) -> str:
    """A value for people: short, on one line, and never one that may hold a login."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 10**15 else "a huge number"
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else f"{value}, which is no finite number"
    if isinstance(value, str):
        plain = len(value) <= 40 and not re.search(r"[@/\\]", value)
        return repr(value) if plain else f"a text of {len(value)} characters"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, tuple | list):
        return f"a list of {len(value)}"
    if isinstance(value, datetime.date | datetime.time):
        return "a date or time"
    return type(value).__name__
