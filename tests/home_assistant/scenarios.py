"""What a person with Home Assistant must see. Each scenario has a device of its own and leaves nothing behind."""

from __future__ import annotations

from edged.core import homeassistant
from edged.core.types import Rule
from tests.fakes import rule
from tests.home_assistant.board import Board
from tests.home_assistant.headless import Home, until
from tests.home_assistant.rule_sets import rule_sets

CAT, DOG = rule("cat", title="Cat on the porch"), rule("dog", title="Dog")


async def appear(home: Home, board: Board) -> None:
    """Waits until Home Assistant has every component of the board and no other, and the device is available."""
    keys = {key: component["p"] for key, component in board.components().items()}
    triggers = {key for key, platform in keys.items() if platform == "device_automation"}

    def complete() -> bool:
        return {key: entry.domain for key, entry in home.entities(board.device).items()} == {
            key: platform for key, platform in keys.items() if key not in triggers
        }

    await until(complete, f"the entities of {board.device}")
    await home.hass.async_block_till_done()
    assert await home.triggers(board.device) == triggers
    await seen(home, board, "enabled" if board.commands else "pipeline", "on" if board.commands else "starting")


async def seen(home: Home, board: Board, key: str, state: str) -> None:
    """Waits until the entity has the state."""
    await until(
        lambda: home.state(board.device, key) == state,
        f"{key} of {board.device} is {home.state(board.device, key)}, not {state}",
    )


async def vanished(home: Home, board: Board, *keys: str) -> None:
    """Waits until Home Assistant has none of the entities, and none remembered."""
    await until(lambda: not set(keys) & set(home.entities(board.device)), f"{keys} of {board.device} are gone")


async def every_component_is_accepted(home: Home, port: int) -> None:
    for number, rules in enumerate(rule_sets(12)):
        device = ("d" * 32) if number == 0 else f"set-{number}"
        async with Board(port, device, rules, title=rules[0].title, commands=number % 3 != 2) as board:
            await appear(home, board)
        await until(lambda: home.device(device) is None, f"{device} is gone")  # noqa: B023
        assert not home.entities(device)


async def on_off_and_unknown_are_told_apart(home: Home, port: int) -> None:
    async with Board(port, "states", [CAT, DOG]) as board:
        await appear(home, board)
        for state, expected in (("ON", "on"), ("OFF", "off"), ("ON", "on"), ("unknown", "unknown"), ("OFF", "off")):
            await board.state("cat", state)  # type: ignore[arg-type]
            await seen(home, board, "occupancy_cat", expected)
        assert home.state("states", "occupancy_dog") == "unknown"


async def a_lost_camera_makes_a_rule_unknown(home: Home, port: int) -> None:
    async with Board(port, "blind", [CAT]) as board:
        await appear(home, board)
        await board.pipeline("running")
        await board.state("cat", "ON")
        await seen(home, board, "occupancy_cat", "on")
        await board.pipeline("camera_lost", "no such device")
        await board.state("cat", "unknown")
        await seen(home, board, "occupancy_cat", "unknown")
        await seen(home, board, "pipeline", "camera_lost")
        assert home.state("blind", "enabled") == "on"
        for state in home.attributes("blind", "pipeline")["options"]:
            await board.pipeline(state)
            await seen(home, board, "pipeline", state)


async def an_event_entity_keeps_its_time_while_the_device_is_away(home: Home, port: int) -> None:
    async with Board(port, "away", [CAT]) as board:
        await appear(home, board)
        await board.event(CAT, "start")
        await until(lambda: home.state("away", "event_cat") not in (None, "unknown"), "the event")
        when = home.state("away", "event_cat")
        told = home.attributes("away", "event_cat")
        assert told["event_type"] == "start"
        assert {"id", "seq", "log", "rule", "score", "time", "clock", "model"} <= set(told)
        await board.kill()
        await seen(home, board, "occupancy_cat", "unavailable")
        assert home.state("away", "event_cat") == when
        await board.connect()
        await seen(home, board, "occupancy_cat", "unknown")
        assert [state for key, state in home.history if key == "edged/away/event_cat"] == ["unknown", when]


async def killed_while_on_and_back_is_never_on_in_between(home: Home, port: int) -> None:
    async with Board(port, "killed", [CAT]) as board:
        await appear(home, board)
        await board.state("cat", "ON")
        await seen(home, board, "occupancy_cat", "on")
        home.history.clear()
        await board.kill()
        await seen(home, board, "occupancy_cat", "unavailable")
        await board.connect()
        await seen(home, board, "occupancy_cat", "unknown")
        await board.state("cat", "OFF")
        await seen(home, board, "occupancy_cat", "off")
        states = [state for key, state in home.history if key == "edged/killed/occupancy_cat"]
        assert states == ["unavailable", "unknown", "off"], states


async def detection_can_be_switched_off_and_on_again(home: Home, port: int) -> None:
    async with Board(port, "switch", [CAT]) as board:
        await appear(home, board)
        for service, word, state in (("turn_off", "OFF", "off"), ("turn_on", "ON", "on")):
            await home.call("switch", "enabled", service)
            await until(lambda: board.asked, "the command")
            assert board.asked.pop() == ("edged/switch/enabled/set", word)
            await board.enabled(word == "ON")
            await board.pipeline("paused" if word == "OFF" else "running", "disabled" if word == "OFF" else None)
            await board.state("cat", "unknown")
            await seen(home, board, "enabled", state)
            await seen(home, board, "pipeline", "paused" if word == "OFF" else "running")
            assert home.state("switch", "occupancy_cat") == "unknown"


async def a_model_can_be_installed_and_nothing_else_comes_of_it(home: Home, port: int) -> None:
    async with Board(port, "updated", [CAT]) as board:
        await appear(home, board)
        await seen(home, board, "model", "off")
        await board.update("1.0.0", "1.1.0")
        await seen(home, board, "model", "on")
        await home.call("updated", "model", "install")
        await until(lambda: board.asked, "the command")
        assert board.asked.pop() == ("edged/updated/update/model/set", "install")
        await board.update("1.0.0", "1.1.0", preparing=True)
        await until(lambda: home.attributes("updated", "model")["in_progress"] is True, "progress")
        await board.update("1.1.0")
        await seen(home, board, "model", "off")
        assert home.attributes("updated", "model")["installed_version"] == "1.1.0"


async def threshold_and_restart_ask_the_device(home: Home, port: int) -> None:
    async with Board(port, "asked", [CAT]) as board:
        await appear(home, board)
        assert home.state("asked", "threshold_cat") == "0.6"
        for value in (0.57, 1, 0.01):
            await home.call("asked", "threshold_cat", "set_value", value=value)
            await until(lambda: board.asked, "the setting")
            assert board.asked.pop() == ("edged/asked/threshold/cat/set", str(value))
            await board.threshold("cat", value)
            await until(lambda: float(home.state("asked", "threshold_cat") or 0) == value, "the threshold")  # noqa: B023
        await home.call("asked", "restart", "press")
        await until(lambda: board.asked, "the request")
        assert board.asked.pop() == ("edged/asked/request/restart", "{}")


async def figures_that_the_board_does_not_know_are_unknown(home: Home, port: int) -> None:
    async with Board(port, "health", [CAT]) as board:
        await appear(home, board)
        await board.health("camera_lost", "broker_lost", figures={"undervoltage": True})
        await seen(home, board, "problem", "on")
        problems = home.attributes("health", "problem")["problems"]
        assert [one["code"] for one in problems] == ["camera_lost", "broker_lost"]
        assert {
            key for key in home.attributes("health", "problem") if key not in ("device_class", "friendly_name")
        } == {"problems"}
        known = {"fps": "9.98", "soc_temp": "61.0", "outbox": "3", "clock_synced": "on", "undervoltage": "on"}
        known |= {"disk_free": "1234.5", "throttled": "off"}
        assert {key: home.state("health", key) for key in known} == known
        unknown = ("fps", "soc_temp", "undervoltage", "disk_free", "throttled")
        nothing = dict.fromkeys(("disk_free_mb", "soc_temp_c", "undervoltage", "throttled"))
        await board.health(figures=nothing, fps=None, clock_synced=False)
        await seen(home, board, "problem", "off")
        known |= {**dict.fromkeys(unknown, "unknown"), "clock_synced": "off"}
        assert {key: home.state("health", key) for key in known} == known
        assert home.attributes("health", "problem")["problems"] == []


async def two_instances_are_two_devices(home: Home, port: int) -> None:
    async with Board(port, "porch", [CAT], title="Same") as porch, Board(port, "yard", [CAT], title="Same") as yard:
        await appear(home, porch)
        await appear(home, yard)
        first, second = home.device("porch"), home.device("yard")
        assert first
        assert second
        assert first.id != second.id
        assert first.identifiers == {("mqtt", "edged_porch")}
        assert not first.connections
        await porch.state("cat", "ON")
        await seen(home, porch, "occupancy_cat", "on")
        assert home.state("yard", "occupancy_cat") == "unknown"


async def a_removed_rule_goes_while_home_assistant_is_up(home: Home, port: int) -> None:
    async with Board(port, "up", [CAT, DOG]) as board:
        await appear(home, board)
        board.configure([CAT])
        await board.announce()
        await vanished(home, board, "occupancy_dog", "event_dog", "threshold_dog")
        await appear(home, board)
        await board.announce()  # a tombstone of what is gone is no news
        board.configure([CAT], commands=False)
        await board.announce()
        await appear(home, board)
        board.configure([CAT, DOG])
        assert not board.gone
        await board.announce()
        await board.threshold("dog", 0.5)
        await appear(home, board)


async def a_removed_rule_goes_that_went_while_home_assistant_was_down(home: Home, port: int) -> None:
    async with Board(port, "down", [CAT, DOG]) as board:
        await appear(home, board)
        await board.state("cat", "ON")
        await seen(home, board, "occupancy_cat", "on")
        await home.stop()
        board.configure([CAT])
        await board.announce()
        await home.start()
        await until(lambda: ("homeassistant/status", "online") in board.asked, "the birth message")
        await seen(home, board, "occupancy_cat", "on")
        gone = ("occupancy_dog", "event_dog", "threshold_dog")
        assert set(gone) <= set(home.entities("down")), "the tombstone alone was enough: no procedure is needed"
        home.history.clear()
        # What the daemon does at a birth, as fast as it can be done.
        await board.announce(back=True)
        board.gone = homeassistant.tombstones(board.gone)
        await board.announce()
        await vanished(home, board, *gone)
        await appear(home, board)
        assert [state for key, state in home.history if key == "edged/down/occupancy_cat"] == []


async def a_renamed_rule_keeps_its_entities(home: Home, port: int) -> None:
    async with Board(port, "renamed", [CAT]) as board:
        await appear(home, board)
        before = {key: entry.entity_id for key, entry in home.entities("renamed").items()}
        renamed: Rule = rule("cat", title="Neighbour's cat")
        board.configure([renamed])
        board.title = "Another title"
        await board.announce()
        await until(
            lambda: home.attributes("renamed", "occupancy_cat")["friendly_name"] == "Another title Neighbour's cat",
            "the new name",
        )
        assert {key: entry.entity_id for key, entry in home.entities("renamed").items()} == before
