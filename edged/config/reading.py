"""From the path of a file to a `Config`, or to every problem of it at once.

Law: reads the file, completes it (names of rules, the port of TLS), has it validated, and checks what one table says
about another. The words for what pydantic finds are in `problems.py`, types and ranges in `tables.py`.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edged.config.config import Config, Finding, refusal
from edged.config.lines import Lines
from edged.config.outline import Outline, outline, outline_of
from edged.config.password import ROOTS, Lent
from edged.config.problems import findings
from edged.config.tables import FULL_REGION, NAME, NAME_WORDS, TLS_PORT, Document, MqttTable
from edged.core.errors import ConfigError

MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class Reading:
    """A file that was read, whatever is wrong with it.

    Attributes:
        findings: every problem of it, in no order.
        outline: of what is right.
        config: None where there are findings.
    """

    path: Path
    lines: Lines
    findings: tuple[Finding, ...]
    outline: Outline
    config: Config | None


def load(path: Path, lent: Lent = ROOTS) -> Config:
    """Reads and validates a configuration file.

    Args:
        lent: where the service that runs it has its credentials from.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or has problems: all of them, one line each, in the file's
            order.
    """
    reading = read(path, lent)
    if reading.config is None:
        raise refusal(path, reading.lines, reading.findings)
    return reading.config


def read(path: Path, lent: Lent = ROOTS) -> Reading:
    """Reads a configuration file, for whoever has more to say of it than it can say itself; `lent` as for `load`.

    Raises:
        ConfigError: the file cannot be read, or is no TOML.
    """
    data, lines = _document(path, _text(path))
    context = {"folder": str(path.absolute().parent), "lent": lent}
    wrong: list[Finding] = [*_name_rules(data), *_across(data)]
    config = None
    try:
        document = Document.model_validate(data, context=context)
    except ValidationError as error:
        wrong += findings(error)
    else:
        config = _config(path, lines, document, lent)
        # A systemd credential that cannot be read is a problem now, not at the first connection.
        wrong += config.unreadable_secrets()
    if wrong or config is None:
        return Reading(path, lines, tuple(wrong), outline_of(data, context), None)
    config = replace(config, warnings=tuple(_warnings(config)))
    return Reading(path, lines, (), outline(config), config)


def _config(path: Path, lines: Lines, document: Document, lent: Lent) -> Config:
    return Config(
        document.device,
        document.camera,
        document.model,
        document.motion,
        document.region,
        document.rule,
        document.mqtt,
        document.outbox,
        path=path,
        lines=lines,
        lent=lent,
    )


def derived_name(label: str, region: str) -> str:
    """The name of a rule that has none: its label, with a region region_label; "" where nothing of it is left."""
    part = re.sub(r"[^a-z0-9_-]", "_", label.lower()).lstrip("_-")
    return f"{region}_{part}" if part and region != FULL_REGION else part


def _text(path: Path) -> str:
    try:
        # Asked first: who opens a pipe waits for whoever writes into it.
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            kind = "is no file but a pipe, a socket or a device"
            raise ConfigError(f"{path}: {kind}; expected a configuration file, such as edged.toml")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; expected a configuration, such as edged.toml") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; expected a configuration file, such as edged.toml in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot be read ({reason}); expected a file that this user may read") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_FILE_BYTES} bytes; expected a configuration file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8: a byte here is no text; save the file as UTF-8") from None


def _document(path: Path, text: str) -> tuple[dict[str, Any], Lines]:
    """The file's tables, lists as tuples, with the tables that may be left out put in; where all of it stands."""
    try:
        data, lines = _tuples(tomllib.loads(text)), Lines(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
        line = int(place[1]) if place else text.rstrip("\n").count("\n") + 1
        what = str(error)[: place.start()] + f" (column {place[2]})" if place else str(error)
        raise ConfigError(f"{path}:{line}: not valid TOML: {what}") from None
    except RecursionError:
        raise ConfigError(f"{path}:1: not valid TOML: lists or tables are nested too deep") from None
    except ValueError:  # Python's own bound for the digits of a number
        raise ConfigError(f"{path}:1: not valid TOML: a number has too many digits") from None
    assert isinstance(data, dict)
    for table in ("device", "camera", "model", "motion", "mqtt", "outbox"):
        data.setdefault(table, {})
    if isinstance(data["mqtt"], dict) and "tls" in data["mqtt"]:
        data["mqtt"].setdefault("port", TLS_PORT)
    return data, lines


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(one) for key, one in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(one) for one in value)
    return value


def _tables(data: dict[str, Any], kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The tables of a list such as [[rule]], whatever else the file has in its place."""
    tables = data.get(kind)
    for index, table in enumerate(tables if isinstance(tables, tuple) else ()):
        if isinstance(table, dict):
            yield index, table


def _name_rules(data: dict[str, Any]) -> Iterator[Finding]:
    """Names the rules that have no name, in place; yields those for which a person must choose one."""
    rules = list(_tables(data, "rule"))
    taken = {rule["name"] for _, rule in rules if isinstance(rule.get("name"), str)}
    for index, rule in rules:
        label, region = rule.get("label"), rule.get("region", FULL_REGION)
        if "name" in rule or not isinstance(label, str) or not isinstance(region, str):
            continue
        name = derived_name(label, region)
        if not re.fullmatch(NAME, name):
            yield ("rule", index, "name"), f"the label makes no valid name; give this rule one: {NAME_WORDS}"
        elif name in taken:
            yield ("rule", index, "name"), f"its label makes the name {name}, which is taken; give this rule its own"
        else:
            rule["name"] = name
            taken.add(name)


def _across(data: dict[str, Any]) -> Iterator[Finding]:
    """What the validation of single tables cannot see: names that occur twice, regions that do not exist."""
    for kind in ("region", "rule"):
        first: dict[str, int] = {}
        for index, table in _tables(data, kind):
            name = table.get("name")
            if isinstance(name, str) and first.setdefault(name, index) != index and re.fullmatch(NAME, name):
                yield (kind, index, "name"), f"{name} is already {kind}[{first[name] + 1}]; allowed: a name of its own"
    names = (table.get("name") for _, table in _tables(data, "region"))
    known = list(dict.fromkeys([FULL_REGION, *(name for name in names if isinstance(name, str))]))
    for index, rule in _tables(data, "rule"):
        region = rule.get("region")
        if isinstance(region, str) and region not in known:
            yield ("rule", index, "region"), f"there is no such region; allowed: {', '.join(map(repr, known))}"
    if isinstance(data["mqtt"], dict):
        yield from _across_mqtt(data["mqtt"])


def _across_mqtt(mqtt: dict[str, Any]) -> Iterator[Finding]:
    tls = mqtt.get("tls")
    for key, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if isinstance(tls, dict) and key in tls and other not in tls:
            yield ("mqtt", "tls", key), f"needs {other} beside it; allowed: both of them, or neither"
    prefix = mqtt.get("topic_prefix", MqttTable.model_fields["topic_prefix"].default)
    discovery = mqtt.get("discovery_prefix", MqttTable.model_fields["discovery_prefix"].default)
    if (
        isinstance(prefix, str)
        and isinstance(discovery, str)
        and discovery
        and f"{prefix}/".startswith(f"{discovery}/")
    ):
        taken = "lies inside discovery_prefix, where Home Assistant takes topics for descriptions of devices"
        yield ("mqtt", "topic_prefix"), f"{taken}; allowed: a place of its own, such as edged"


def _warnings(config: Config) -> Iterator[str]:
    used = {rule.region for rule in config.rules}
    for index, region in enumerate(config.regions):
        if region.name not in used:
            yield config.problem(
                ("region", index), f"no rule looks at region {region.name}, so nothing is done with it"
            )
    if re.search(r"(?i)[?&;/](pass|passwd|password|pwd)=", config.camera.source):
        text = "the address seems to hold a password; a camera that takes username and password_file keeps it to itself"
        yield config.problem(("camera", "source"), text)
    for key, secret in config.exposed_secrets():
        yield config.problem(key, f"every user of this device can read {secret}; take that right away with chmod o-r")
