"""Asks Home Assistant's own schema code about every payload, without starting it: seconds, for each CI run.

It runs in Home Assistant's Python: `scripts/test-home-assistant --schema`. The last line is the verdict.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import voluptuous
from homeassistant.components.mqtt.abbreviations import ABBREVIATIONS
from homeassistant.components.mqtt.discovery import _merge_common_device_options, _parse_device_payload
from homeassistant.core import HomeAssistant

from edged.core import homeassistant, wire
from edged.core.types import Rule
from tests.home_assistant.rule_sets import rule_sets

PACKAGE = "homeassistant.components.mqtt"
DEVICE = "d" * 32
TOPICS = wire.Topics("edged", DEVICE)


def schema_of(platform: str) -> Any:
    if platform == "device_automation":
        return import_module(f"{PACKAGE}.device_trigger").TRIGGER_DISCOVERY_SCHEMA
    return import_module(f"{PACKAGE}.{platform}").DISCOVERY_SCHEMA


def complaints(payload: bytes) -> list[str]:
    """What Home Assistant would refuse, drop or not understand."""
    device = _parse_device_payload(None, payload.decode(), "edged_porch", None)  # type: ignore[arg-type]
    if not device:
        return ["the whole payload is refused"]
    found = []
    sent = json.loads(payload)["cmps"]
    for key, component in device["components"].items():
        platform = component.pop("platform")
        if not component:  # a tombstone
            continue
        component |= {"device": device["device"], "origin": device["origin"]}
        _merge_common_device_options(component, device)
        try:
            taken = schema_of(platform)(dict(component))
        except voluptuous.Invalid as refused:
            found.append(f"{key}: {refused}")
            continue
        dropped = {ABBREVIATIONS.get(word, word) for word in sent[key]} - {"platform"} - set(taken)
        found += [f"{key}: {word} is not known and dropped" for word in sorted(dropped)]
    return found


def payload(rules: Sequence[Rule], gone: Mapping[str, homeassistant.Component], **choices: bool) -> bytes:
    given: dict[str, Any] = {"commands": True, **choices, "gone": gone, "discovery_prefix": "homeassistant"}
    return homeassistant.discovery(DEVICE, rules[0].title, TOPICS, rules, "1.0.0", "a board", **given).payload


def broken(rules: Sequence[Rule]) -> dict[str, bytes]:
    """Payloads that must be found wrong: a check that cannot fail is none."""
    good = json.loads(payload(rules, {}))
    first = next(iter(good["cmps"]))
    return {
        "a key at the root": json.dumps(good | {"~": "edged"}).encode(),
        "a key that no component has": json.dumps(
            good | {"cmps": {first: good["cmps"][first] | {"colour": "red"}}}
        ).encode(),
        "a wrong device class": json.dumps(good | {"cmps": {first: good["cmps"][first] | {"dev_cla": "cat"}}}).encode(),
    }


async def main() -> int:
    hass = HomeAssistant(tempfile.gettempdir())  # templates and validators look for one; it is never started
    logging.getLogger("homeassistant").setLevel(logging.CRITICAL)
    wrong: list[str] = []
    passed = failed = 0
    before: dict[str, homeassistant.Component] = {}
    for number, rules in enumerate(rule_sets(100)):
        for choices in ({}, {"commands": False}, {"back": True}):
            found = complaints(payload(rules, before, **choices))
            wrong += [f"rule set {number} {choices}: {line}" for line in found]
            passed, failed = passed + (not found), failed + bool(found)
        before = homeassistant.components(DEVICE, TOPICS, rules, commands=True)
    for name, text in broken(rules).items():
        found = complaints(text)
        wrong += [] if found else [f"{name} was not found"]
        passed, failed = passed + bool(found), failed + (not found)
    print(*wrong[:20], sep="\n", end="\n" if wrong else "")
    print(f"Home Assistant's schema: {passed} passed, {failed} failed")
    await hass.async_stop(force=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
