"""Runs every scenario against one Home Assistant and one mosquitto, both on loopback; the last line is the verdict.

    python -m tests.home_assistant.run [WORD]…      only scenarios that have a word in their names

A scenario also fails if Home Assistant wrote a warning or an error of its MQTT integration into its log.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.home_assistant import automation, scenarios
from tests.home_assistant.headless import Home
from tests.mosquitto import Mosquitto

Scenario = Callable[[Home, int], Awaitable[None]]
LIMIT_S = 180.0


def chosen(words: list[str]) -> list[Scenario]:
    found = [
        function
        for module in (scenarios, automation)
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if function.__module__ == module.__name__ and list(inspect.signature(function).parameters) == ["home", "port"]
    ]
    return [one for one in found if not words or any(word in one.__name__ for word in words)]


async def holds(scenario: Scenario, home: Home, port: int) -> bool:
    """Runs one and prints how it went."""
    started_s = time.monotonic()
    home.complaints.lines.clear()
    home.history.clear()
    trouble = ""
    try:
        async with asyncio.timeout(LIMIT_S):
            await scenario(home, port)
    except Exception:  # noqa: BLE001 whatever it is, the others are still of interest
        trouble = traceback.format_exc()
    trouble += "".join(f"Home Assistant said: {line}\n" for line in home.complaints.lines)
    name = scenario.__name__.replace("_", " ")
    print(f"{'FAILED' if trouble else 'ok':>6}  {time.monotonic() - started_s:5.1f} s  {name}", flush=True)
    if trouble:
        print(trouble, flush=True)
    return not trouble


async def run(folder: Path, words: list[str]) -> int:
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert program, "no mosquitto on this machine (apt install mosquitto)"
    broker = Mosquitto(program, folder)
    broker.start()
    home = Home(folder / "home", broker.port)
    try:
        started_s = time.monotonic()
        await home.start()
        print(f"        {time.monotonic() - started_s:5.1f} s  Home Assistant is up", flush=True)
        results = [await holds(one, home, broker.port) for one in chosen(words)]
        await home.stop()
    finally:
        broker.stop()
    failed = results.count(False)
    print(f"Home Assistant: {len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    logging.getLogger().setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        code = asyncio.run(run(Path(name), sys.argv[1:]))
    sys.stdout.flush()
    os._exit(code)  # executors of Home Assistant would keep the process
