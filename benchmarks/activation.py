"""What a device keeps while its model changes: the scenarios behind docs/reliability.md, against a real mosquitto.

    python -m benchmarks.activation [kills] [swaps] [live] [--count N] [--seed N]

runs them whole, a quarter of an hour; tests/system run a seeded tenth of each and hold it to the same bars.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.publish

from edged import app
from edged.config import load
from edged.fitted import Report
from edged.keeping import Keeper
from edged.modelstore import manifest, remembered
from tests import versions
from tests.daemon import START_S, Daemon, Listener, write_config
from tests.drawn import story_clip
from tests.fakes import until
from tests.mosquitto import Mosquitto

RULES = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}]
PROBATION_S = 1.0
NAMES = ("1.0.0", "2.0.0", "3.0.0")


@dataclass
class Kills:
    """What became of a device that was killed `count` times while its model changed.

    Attributes:
        mixtures: starts after which neither the old nor the new version ran, or one with the bytes of another.
        dead: starts that came to nothing.
        moments: how often the record on the disk was found in which phase after the kill; `chosen`: the new version
            was chosen and nothing of it noticed yet.
        ran: how often the old and the new version ran after it.
    """

    count: int = 0
    mixtures: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    moments: Counter[str] = field(default_factory=Counter)
    ran: Counter[str] = field(default_factory=Counter)


def configured(
    folder: Path, port: int, prefix: str, clip: Path, kind: dict[str, Any] | None = None, **camera: Any
) -> Path:
    """A configuration whose model has three versions, two of them in the store beside it, see `versions.put`."""
    config = write_config(folder / "e.toml", f"file:{clip}", port, prefix, RULES, **camera)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("threads = 1", f"threads = 1\nprobation_s = {PROBATION_S}"), encoding="utf-8")
    for version in NAMES[1:]:
        versions.put(folder / "state", folder / "made", version, **(kind or {}))
    return config


def kills(count: int, seed: int, port: int, folder: Path) -> Kills:
    """Asks for another version, kills the daemon a random moment later, starts it again, and looks what runs."""
    chance, prefix, state, found = random.Random(seed), f"kills-{seed}", folder / "state", Kills()
    state.mkdir(parents=True)
    clip = story_clip(folder / "clip.avi", [("circle", 5), ("background", 5)])
    config = configured(folder, port, prefix, clip)
    hashes = _hashes(state)
    running, aims = "", {""}
    with Listener("127.0.0.1", port, prefix) as listener:
        for number in range(count + 1):
            before, looked = len(listener.payloads("test/info")), _looking(listener)
            with Daemon(config, state) as daemon:
                try:
                    listener.wait("test/info", before + 1)
                    until(lambda looked=looked: _looking(listener) > looked, START_S)  # type: ignore[misc]
                except AssertionError:
                    found.dead.append(f"{number}: {daemon.errors.read_text()}")
                    break
                told = listener.payloads("test/info")[before]["model"]
                if number:
                    found.count += 1
                    found.ran["old" if told["version"] == running else "new"] += 1
                    if told["version"] not in aims or hashes[told["version"]] != told["sha256"]:
                        found.mixtures.append(f"{number}: {told} after {aims}")
                if number == count:
                    break
                running = _settled(listener, state)
                aim = chance.choice([version for version in NAMES if version != running])
                aims = {running, aim}
                _ask(chance, config, state, port, prefix, aim)
                daemon.stop(signal.SIGKILL)
                found.moments[_moment(state, aim)] += 1
    return found


def _looking(listener: Listener) -> int:
    """How often it was said that pictures come and are judged."""
    return sum(one["state"] == "running" for one in listener.payloads("test/pipeline"))


def _settled(listener: Listener, state: Path) -> str:
    """The version that runs, once a start has put in order what it found."""

    def in_order() -> bool:
        kept = json.loads((state / "test" / "activation.json").read_text())
        return kept["phase"] == "settled" or kept["is_put_back"]

    until(in_order, START_S)
    return str(listener.payloads("test/info")[-1]["model"]["version"])


def _ask(chance: random.Random, config: Path, state: Path, port: int, prefix: str, aim: str) -> None:
    """By one of the two ways, and then lets some time pass: up to the end of the probation, mostly near the swap."""
    if chance.random() < 0.5:
        payload = json.dumps({"name": versions.NAME, "version": aim})
        paho.mqtt.publish.single(f"{prefix}/test/request/model", payload, 1, hostname="127.0.0.1", port=port)
        longest_s = 0.3
    else:
        Keeper(load(config), state).use(f"{versions.NAME}@{aim}")
        longest_s = 1.4
    time.sleep(chance.uniform(0.0, longest_s if chance.random() < 0.8 else 3.0))


def _moment(state: Path, aim: str) -> str:
    kept = json.loads((state / "test" / "activation.json").read_text())
    choice = remembered.read(state / "models").get(versions.NAME)
    if kept["version"] != aim or kept["phase"] in ("refused", "rolled_back"):
        return "chosen" if choice is not None and choice.version == aim else "asked"
    return f"{kept['phase']}{'' if choice is not None and choice.version == aim else ', not yet chosen'}"


def _hashes(state: Path) -> dict[str, str]:
    folders = {version: state / "models" / f"{versions.NAME}@{version}" for version in NAMES[1:]}
    folders[NAMES[0]] = app.open_model(versions.NAME + "@1.0.0", 1, state)[0].folder
    return {version: manifest.read(folder).files["model.tflite"] for version, folder in folders.items()}


@dataclass(frozen=True)
class Run:
    """What a device made of a clip.

    Attributes:
        frames: judged.
        dropped: pictures that nobody judged.
        events: what was told, but for ids, times and models.
        swaps: how often another version was in charge at the next event.
        acknowledged: of the events, how many the broker has.
    """

    frames: int
    dropped: int
    events: list[tuple[Any, ...]]
    swaps: int
    acknowledged: int


def swaps(count: int, port: int, folder: Path) -> tuple[Run, Run]:
    """Plays a clip in lockstep: while another version of the same model takes over again and again, and without."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = story_clip(folder / "clip.avi", [("circle", 7), ("background", 9), ("star", 4)] * (60 * count))
    return tuple(
        _run(folder, name, port, clip, times, {}, pace="max", at_end="stop")
        for name, times in (("swaps", count), ("plain", 0))
    )  # type: ignore[return-value]


def live(seconds: int, port: int, folder: Path) -> tuple[Run, Run]:
    """Plays a clip as a camera, 30 pictures a second: while EfficientNet-Lite0 takes over again and again, and without.

    Both runs are of a device that has that model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clip = story_clip(folder / "clip.avi", [("circle", 7), ("background", 9)] * (30 * seconds // 16), fps=30.0)
    kind = {"like": versions.LITE0, "text": _with_circle}
    return tuple(
        _run(folder, name, port, clip, times, kind, pace="realtime", at_end="stop", fps=30.0)
        for name, times in (("live", seconds), ("still", 0))
    )  # type: ignore[return-value]


def _with_circle(manifest_: str) -> str:
    return manifest_.replace("[groups]", '[groups]\ncircle = ["tabby"]')


def _run(folder: Path, name: str, port: int, clip: Path, count: int, kind: dict[str, Any], **camera: Any) -> Run:
    place = folder / name
    state = place / "state"
    state.mkdir(parents=True)
    config = configured(place, port, name, clip, kind, **camera)
    keeper = Keeper(load(config), state)
    keeper.choose(versions.NAME, NAMES[1])
    taken: list[str] = []

    def turn(_: Report) -> None:
        if len(taken) == count:
            return
        kept = json.loads((state / "test" / "activation.json").read_text())
        if kept["phase"] == "settled" and kept["version"] not in taken[-1:]:
            aim = NAMES[2] if kept["version"] == NAMES[1] else NAMES[1]
            taken.append(kept["version"])
            keeper.choose(versions.NAME, aim)
        if camera["pace"] == "max":
            time.sleep(0.002)  # the clip shall not be over before

    with Listener("127.0.0.1", port, name) as listener:
        loaded, fitted = app.load(config, print, state, starts=True)
        report = app.run(loaded, fitted, threading.Event(), root=state, on_turn=turn)
        events = listener.wait("test/event/circle", report.events)
    models = [event["model"] for event in events]
    keys = ("seq", "event_type", "rule", "score", "peak_score", "duration_s", "reason")
    return Run(
        report.frames,
        report.dropped,
        [tuple(event[key] for key in keys) for event in events],
        max(len(taken) - 1, sum(one != other for one, other in itertools.pairwise(models))),
        report.acknowledged,
    )


def main() -> None:
    """Prints what docs/reliability.md says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenarios", nargs="*", default=["kills", "swaps", "live"])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "mosquitto"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        broker = Mosquitto(program, folder / "broker")
        broker.start()
        try:
            if "kills" in args.scenarios:
                found = kills(args.count, args.seed, broker.port, folder / "kills")
                print(f"kills: {found.count}, mixtures {found.mixtures}, dead {found.dead}")
                print(f"  found on the disk: {dict(found.moments)}")
                print(f"  ran afterwards: {dict(found.ran)}")
            for name, run in (("swaps", swaps), ("live", live)):
                if name in args.scenarios:
                    with_, without = run(10 if name == "swaps" else 60, broker.port, folder / name)
                    print(f"{name}: {with_.swaps} swaps in {with_.frames} frames, {with_.dropped} dropped")
                    print(f"  without: {without.frames} frames, {without.dropped} dropped")
                    same = with_.events == without.events
                    print(f"  events: {len(with_.events)}, acknowledged {with_.acknowledged}, the same: {same}")
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
