"""What Home Assistant is told about a device: one retained message, from which it makes every entity by itself.

Law: pure, the same bytes for the same arguments. Keys, unique ids and identifiers come from names alone and never
change: people's automations and histories hang on them. Home Assistant refuses the whole message for one wrong key at
the root and drops a wrong component with a line in its log; `scripts/test-home-assistant` holds every line against a
running one. No camera and no image entity.

The words are the abbreviations of Home Assistant's schema (`components/mqtt/abbreviations.py` there): so 32 rules fit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from edged.core import wire
from edged.core.types import Message, PipelineState, Rule

MAX_BYTES = 65_536
MAX_NAME_BYTES = 64
"""Of a title in a name: 32 rules with titles in any script still fit."""
HEALTH_EXPIRES_S = 180
"""Three health messages missed: the figures are no longer known."""

Component = Mapping[str, Any]
"""One entity or trigger as Home Assistant's schema wants it; `p` is its platform."""

_EVENT_TYPE = "{{ value_json.event_type }}"
_STATE = "{{ value_json.state if value_json.state in ('ON','OFF') else 'None' }}"


def components(device: str, topics: wire.Topics, rules: Sequence[Rule], *, commands: bool) -> dict[str, Component]:
    """Every entity and trigger of the device by its key. What of this is on disk outlives the configuration.

    Args:
        commands: whether the device listens; if not, it has no number, switch or button, and an update only shows.
    """
    found: dict[str, dict[str, Any]] = {}
    for rule in rules:
        found |= _of_rule(topics, rule, commands=commands)
    found |= _of_device(topics)
    found["model"] = _model(topics, commands=commands)
    if commands:
        found |= _controls(topics)
    for key, component in found.items():
        component["qos"] = 1
        if component["p"] != "device_automation":
            component["uniq_id"] = f"edged/{device}/{key}"
    return dict(found)


def gone(before: Mapping[str, Component], now: Mapping[str, Component]) -> dict[str, Component]:
    """Of what was announced before, oldest first, what is announced no longer."""
    return {key: component for key, component in before.items() if key not in now}


def tombstones(gone: Mapping[str, Component]) -> dict[str, Component]:
    """What remains of components that are gone: enough for Home Assistant to remove them, if it has them loaded."""
    return {key: {"p": component["p"]} for key, component in gone.items()}


def discovery(
    device: str,
    title: str,
    topics: wire.Topics,
    rules: Sequence[Rule],
    version: str,
    model: str,
    *,
    discovery_prefix: str,
    commands: bool,
    gone: Mapping[str, Component],
    back: bool = False,
) -> Message:
    """The message that makes the device, its entities and triggers, and removes those that are gone.

    A Home Assistant that was down when a component went keeps it for ever as unavailable: it ignores the tombstone
    of what it has not loaded. At its next birth it is told of the component once more, and then of the tombstone.

    Args:
        device: the identity. `title` is for people; empty means the identity.
        version: of edged.
        model: what kind of device this is, for people.
        gone: what was announced once and is no longer, oldest first: whole, or a tombstone already. Where all do not
            fit into `MAX_BYTES`, the oldest are left out.
        back: at a birth, what comes before the message: what is gone as it was, and that alone. It is not retained, so
            that the broker keeps the tombstones; the others stay as they are.
    """
    now = components(device, topics, rules, commands=commands)
    old = {key: component for key, component in gone.items() if key not in now}
    payload: dict[str, Any] = {
        "dev": {"ids": [f"edged_{device}"], "name": title or device, "mf": "edged", "mdl": model, "sw": version},
        "o": {"name": "edged", "sw": version},
        "avty": [{"t": topics.availability}],
        "cmps": {} if back else now,
    }
    payload["cmps"] |= _newest(old if back else tombstones(old), MAX_BYTES - len(_encode(payload)))
    return Message(_topic(device, discovery_prefix), _encode(payload), qos=1, retain=not back)


def removal(device: str, *, discovery_prefix: str) -> Message:
    """Removes the device with all that it has, also from the broker."""
    return Message(_topic(device, discovery_prefix), b"", qos=1, retain=True)


def _topic(device: str, discovery_prefix: str) -> str:
    return f"{discovery_prefix}/device/edged_{device}/config"


def _of_rule(topics: wire.Topics, rule: Rule, *, commands: bool) -> dict[str, dict[str, Any]]:
    name, event = _short(rule.title or rule.name), topics.event(rule.name)
    found: dict[str, dict[str, Any]] = {
        # Only the word None makes a binary sensor unknown: any other word leaves it as it was.
        f"occupancy_{rule.name}": {
            "p": "binary_sensor",
            "name": name,
            "dev_cla": "occupancy",
            "stat_t": topics.state(rule.name),
            "val_tpl": _STATE,
        },
        # "Last seen at" stays true while the device is away, and a state that comes back would look like a new event.
        f"event_{rule.name}": {
            "p": "event",
            "name": f"{name} event",
            "dev_cla": "motion",
            "evt_typ": ["start", "end"],
            "stat_t": event,
            "avty": [],
        },
    }
    for moment in ("start", "end"):
        found[f"{moment}_{rule.name}"] = {
            "p": "device_automation",
            "atype": "trigger",
            "type": moment,
            "stype": rule.name,
            "t": event,
            "val_tpl": _EVENT_TYPE,
            "pl": moment,
        }
    if commands:
        found[f"threshold_{rule.name}"] = {
            "p": "number",
            "name": f"{name} threshold",
            "ent_cat": "config",
            "min": 0.01,
            "max": 1,
            "step": 0.01,
            "stat_t": topics.threshold(rule.name),
            "cmd_t": topics.threshold_set(rule.name),
        }
    return found


def _of_device(topics: wire.Topics) -> dict[str, dict[str, Any]]:
    """What the pipeline does and how the device is."""
    health = _figures() | _conditions(topics)
    for component in health.values():
        component |= {"ent_cat": "diagnostic", "stat_t": topics.health, "exp_aft": HEALTH_EXPIRES_S}
    pipeline = {
        "p": "sensor",
        "name": "Pipeline",
        "ent_cat": "diagnostic",
        "dev_cla": "enum",
        "ops": list(get_args(PipelineState)),
        "stat_t": topics.pipeline,
        "val_tpl": "{{ value_json.state }}",
    }
    return {"pipeline": pipeline, **health}


def _model(topics: wire.Topics, *, commands: bool) -> dict[str, Any]:
    """The version of the model; where the device listens, the newest one can be installed."""
    component = {"p": "update", "name": "Model", "ent_cat": "diagnostic", "stat_t": topics.update}
    if commands:
        component |= {"ent_cat": "config", "cmd_t": topics.update_set, "pl_inst": "install"}
    return component


def _figures() -> dict[str, dict[str, Any]]:
    figure: dict[str, Any] = {"p": "sensor", "stat_cla": "measurement"}
    return {
        "fps": {**figure, "name": "Frame rate", "unit_of_meas": "fps", "val_tpl": "{{ value_json.fps }}"},
        "soc_temp": {
            **figure,
            "name": "SoC temperature",
            "dev_cla": "temperature",
            "unit_of_meas": "°C",
            "val_tpl": "{{ value_json.soc_temp_c }}",
        },
        "outbox": {
            **figure,
            "name": "Events waiting",
            "unit_of_meas": "events",
            "val_tpl": "{{ value_json.outbox.rows }}",
        },
        "disk_free": {
            **figure,
            "name": "Free disk",
            "dev_cla": "data_size",
            "unit_of_meas": "MB",
            "val_tpl": "{{ value_json.disk_free_mb }}",
        },
    }


def _conditions(topics: wire.Topics) -> dict[str, dict[str, Any]]:
    problem = {"p": "binary_sensor", "dev_cla": "problem"}
    return {
        "clock_synced": {"p": "binary_sensor", "name": "Clock synced", "val_tpl": _yes_or_no("clock_synced")},
        "undervoltage": {**problem, "name": "Under-voltage", "val_tpl": _yes_or_no("undervoltage")},
        "throttled": {**problem, "name": "Throttled", "val_tpl": _yes_or_no("throttled")},
        "problem": {
            **problem,
            "name": "Problem",
            "val_tpl": "{{ 'ON' if value_json.problems else 'OFF' }}",
            "json_attr_t": topics.health,
            "json_attr_tpl": "{{ {'problems': value_json.problems} | tojson }}",
        },
    }


def _controls(topics: wire.Topics) -> dict[str, dict[str, Any]]:
    return {
        "enabled": {"p": "switch", "name": "Detection", "stat_t": topics.enabled, "cmd_t": topics.enabled_set},
        "restart": {
            "p": "button",
            "name": "Restart",
            "dev_cla": "restart",
            "ent_cat": "config",
            "cmd_t": topics.request("restart"),
            "pl_prs": "{}",
        },
    }


def _yes_or_no(key: str) -> str:
    """A template for a boolean of `D/health`; null, where the board cannot tell, is unknown."""
    return f"{{{{ 'None' if value_json.{key} is none else 'ON' if value_json.{key} else 'OFF' }}}}"


def _short(name: str) -> str:
    if _size(name) <= MAX_NAME_BYTES:
        return name
    while _size(name) > MAX_NAME_BYTES:
        name = name[:-1]
    return name.rstrip() + "…"


def _size(name: str) -> int:
    """Bytes in JSON, where a quotation mark has two."""
    return len(json.dumps(name, ensure_ascii=False).encode()) - 2


def _newest(old: dict[str, Component], room_bytes: int) -> dict[str, Component]:
    """The last of `old` that fit, in their order."""
    kept: list[str] = []
    for key in reversed(old):
        room_bytes -= len(_encode({key: old[key]})) - 1  # two braces, but one comma
        if room_bytes < 0:
            break
        kept.append(key)
    return {key: old[key] for key in reversed(kept)}


def _encode(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
