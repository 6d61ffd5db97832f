"""The automations of docs/home-assistant.md, run as they stand there, and the device's triggers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from homeassistant.setup import async_setup_component

from tests.fakes import rule
from tests.home_assistant.board import Board
from tests.home_assistant.headless import Home, until
from tests.home_assistant.scenarios import appear, seen

PAGE = Path(__file__).parents[2] / "docs" / "home-assistant.md"
CAT = rule("cat", title="Cat on the porch")


def on_the_page() -> list[dict[str, Any]]:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


async def automate(home: Home, automations: list[dict[str, Any]]) -> list[str]:
    """Sets them up instead of all others.

    Returns:
        The alias of each that ran, as it runs.
    """
    ran: list[str] = []
    home.hass.bus.async_listen("automation_triggered", lambda event: ran.append(event.data["name"]))
    configuration = Path(home.hass.config.config_dir) / "configuration.yaml"
    configuration.write_text(json.dumps({"automation": automations}), encoding="utf-8")  # JSON is YAML
    for component in ("persistent_notification", "automation"):
        assert await async_setup_component(home.hass, component, {}), component
    await home.hass.services.async_call("automation", "reload", blocking=True)
    await home.hass.async_block_till_done()
    states = [state.state for state in home.hass.states.async_all("automation")]
    assert states == ["on"] * len(automations), states
    return ran


async def automations_of_the_page_run_when_they_should(home: Home, port: int) -> None:
    comes, diary = on_the_page()
    async with Board(port, "page", [CAT], title="Front porch") as board:
        await appear(home, board)
        ran = await automate(home, [comes, diary])
        await board.pipeline("running")
        for state in ("ON", "OFF"):  # from unknown: no news
            await board.state("cat", state)
            await seen(home, board, "occupancy_cat", state.lower())
        assert not ran
        await board.event(CAT, "start")
        await board.state("cat", "ON")
        await until(lambda: sorted(ran) == sorted([comes["alias"], diary["alias"]]), "both have run")
        await board.kill()
        await seen(home, board, "occupancy_cat", "unavailable")
        await board.connect()
        await seen(home, board, "occupancy_cat", "unknown")
        await board.state("cat", "ON")
        await seen(home, board, "occupancy_cat", "on")
        await board.event(CAT, "end")
        await until(lambda: home.attributes("page", "event_cat")["event_type"] == "end", "the end")
        assert len(ran) == 2, ran
        await board.event(CAT, "start")
        await until(lambda: ran[2:] == [diary["alias"]], "the diary has run")


async def device_triggers_fire(home: Home, port: int) -> None:
    async with Board(port, "triggers", [CAT, rule("dog")]) as board:
        await appear(home, board)
        device = home.device("triggers")
        assert device
        one = {"trigger": "device", "domain": "mqtt", "device_id": device.id, "subtype": "cat"}
        ran = await automate(
            home, [{"alias": word, "triggers": [one | {"type": word}], "actions": []} for word in ("start", "end")]
        )
        for word in ("start", "end", "start"):
            await board.event(rule("dog"), word)
            await board.event(CAT, word)
            await until(lambda: ran[-1:] == [word], word)  # noqa: B023
        assert ran == ["start", "end", "start"]
