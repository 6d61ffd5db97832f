"""Home Assistant's own core without a screen, in this process: what a person would see and do, as plain calls.

It runs in Home Assistant's Python, not in edged's: `scripts/test-home-assistant` makes that Python and starts `run.py`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from homeassistant import auth, bootstrap, config_entries, loader
from homeassistant.components.device_automation import DeviceAutomationType, async_get_device_automations
from homeassistant.components.mqtt.models import DATA_MQTT
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> None:
    """Waits for what Home Assistant does in its own time."""
    stop_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < stop_s, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(0.02)


class Complaints(logging.Handler):
    """What Home Assistant wrote into its log as a warning or worse, but what it says about its own code."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("homeassistant.") or record.name == "homeassistant.helpers.frame":
            return
        self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()[:500]}")


class Home:
    """A Home Assistant with the MQTT integration on a broker on loopback. The folder outlives it, as a disk does."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self.history: list[tuple[str, str]] = []
        """(unique id, state) of each change of an entity's state, oldest first."""
        self.complaints = Complaints()

    async def start(self) -> None:
        """Starts it and waits until it is up; it says so at its birth topic."""
        self._folder.mkdir(exist_ok=True)
        (self._folder / "configuration.yaml").touch()
        self.hass = hass = HomeAssistant(str(self._folder))
        hass.config.skip_pip = True
        hass.config.skip_pip_packages = []
        loader.async_setup(hass)
        hass.config_entries = config_entries.ConfigEntries(hass, {})
        await bootstrap.async_load_base_functionality(hass)
        logging.getLogger().addHandler(self.complaints)
        hass.auth = await auth.auth_manager_from_config(hass, [], [])
        web = {"http": {"server_port": free_port(), "server_host": ["127.0.0.1"]}}
        for name, config in (("homeassistant", {}), ("http", web)):
            assert await async_setup_component(hass, name, config), name
        hass.bus.async_listen(EVENT_STATE_CHANGED, self._changed)
        entries = hass.config_entries.async_entries("mqtt")
        if entries:
            await hass.config_entries.async_setup(entries[0].entry_id)
        else:
            await hass.config_entries.async_add(self._entry())
        await hass.async_start()
        await hass.async_block_till_done()
        states = [entry.state for entry in hass.config_entries.async_entries("mqtt")]
        assert states == [config_entries.ConfigEntryState.LOADED], states

    async def stop(self) -> None:
        """Stops it; what it knows stays in the folder."""
        await self.hass.async_stop(force=True)
        logging.getLogger().removeHandler(self.complaints)
        # What the end of a process would do.
        client = self.hass.data[DATA_MQTT].client
        await client.async_disconnect(disconnect_paho_client=True)
        await until(lambda: not client.connected, "the old connection is closed")

    def _entry(self) -> config_entries.ConfigEntry:
        return config_entries.ConfigEntry(
            version=2,
            minor_version=1,
            domain="mqtt",
            title="mqtt",
            data={"broker": "127.0.0.1", "port": self._port, "protocol": "5"},
            options={},
            source="user",
            unique_id=None,
            discovery_keys=MappingProxyType({}),
            subentries_data=(),
        )

    @callback
    def _changed(self, event: Event[Any]) -> None:
        entry = entity_registry.async_get(self.hass).async_get(event.data["entity_id"])
        new = event.data["new_state"]
        if entry and new and (not event.data["old_state"] or event.data["old_state"].state != new.state):
            self.history.append((entry.unique_id, new.state))

    def entities(self, device: str) -> dict[str, entity_registry.RegistryEntry]:
        """What the device has, by the key of the discovery payload; also what is only remembered."""
        start = f"edged/{device}/"
        entries = entity_registry.async_get(self.hass).entities.values()
        return {entry.unique_id.removeprefix(start): entry for entry in entries if entry.unique_id.startswith(start)}

    def state(self, device: str, key: str) -> str | None:
        """The state of an entity, None where there is none."""
        entry = self.entities(device).get(key)
        found = entry and self.hass.states.get(entry.entity_id)
        return found.state if found else None

    def attributes(self, device: str, key: str) -> dict[str, Any]:
        """Of an entity that is there."""
        found = self.hass.states.get(self.entities(device)[key].entity_id)
        assert found is not None, key
        return dict(found.attributes)

    def device(self, device: str) -> device_registry.DeviceEntry | None:
        """The device as it is registered."""
        return device_registry.async_get(self.hass).async_get_device(identifiers={("mqtt", f"edged_{device}")})

    async def triggers(self, device: str) -> set[str]:
        """The device's triggers, written as the keys of the discovery payload."""
        entry = self.device(device)
        if entry is None:
            return set()
        found = await async_get_device_automations(self.hass, DeviceAutomationType.TRIGGER, [entry.id])
        return {f"{one['type']}_{one['subtype']}" for one in found[entry.id] if one["domain"] == "mqtt"}

    async def call(self, device: str, key: str, service: str, **data: Any) -> None:
        """Does what a person does with an entity: `turn_on`, `set_value`, `press`."""
        entry = self.entities(device)[key]
        target = {"entity_id": entry.entity_id, **data}
        await self.hass.services.async_call(entry.domain, service, target, blocking=True)
