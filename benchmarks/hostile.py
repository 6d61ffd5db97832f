"""Damaged and hostile models, tried one after the other beside a device that runs in the same process.

    python -m benchmarks.hostile [--count N] [--seed N]

Prints, for each kind, how many were refused and how many worked as their package promises, what was no sentence, and
how the device went on meanwhile. What each kind does to a model folder is in tests/hostile.py.
"""

from __future__ import annotations

import argparse
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.reliability import surroundings
from edged import app
from edged.core.errors import ModelError
from edged.device import Report
from edged.keeping import Keeper
from edged.modelstore import available, bundled
from tests import hostile
from tests.daemon import write_config
from tests.drawn import story_clip
from tests.fakes import until

RULE = {"label": "circle", "score_threshold": 0.6, "delay_on_s": 0.0, "delay_off_s": 0.0, "refractory_s": 0.0}
GOOD = "shapes-int8"
MAX_SENTENCE = 2000


@dataclass
class Found:
    """What came of the models.

    Attributes:
        refused: by kind.
        worked: loaded and gave the scores that its package promises, by kind.
        installed: of those in `refused`, how many are in the store all the same.
        no_sentence: anything that was not one sentence of a ModelError, in words.
        sentences: how many different ones, without what is in brackets.
        longest_s: the longest that one took.
        turns: of the device meanwhile.
        longest_turn_s: from the end of one turn to the end of the next.
        ended: how the device ended before it was asked to, empty where it did not.
    """

    refused: Counter[str] = field(default_factory=Counter)
    worked: Counter[str] = field(default_factory=Counter)
    installed: int = 0
    no_sentence: list[str] = field(default_factory=list)
    sentences: int = 0
    longest_s: float = 0.0
    turns: int = 0
    longest_turn_s: float = 0.0
    ended: str = ""


def run(count: int, seed: int, port: int, folder: Path) -> Found:
    """Tries to install so many, while a device runs."""
    found, chance, words = Found(), random.Random(seed), set[str]()
    keeper = Keeper(None, folder / "state")
    with turning(port, folder, found):
        for number in range(count):
            bad = shutil.copytree(bundled() / GOOD, folder / "bad")
            kind = hostile.spoil(bad, chance)
            began_s = time.monotonic()
            try:
                keeper.add(bad)
            except ModelError as error:
                sentence = str(error)
                words.add(sentence.replace(str(bad), "").partition("(")[0])
                found.refused[kind] += 1
                found.installed += available([keeper.store]) != ()
                if not sentence.isprintable() or not 10 < len(sentence) < MAX_SENTENCE:
                    found.no_sentence.append(f"{number}, {kind}: {sentence[:MAX_SENTENCE]!r}")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what this looks for
                found.no_sentence.append(f"{number}, {kind}: {error!r}")
            else:
                found.worked[kind] += 1
                keeper.remove(GOOD)
            found.longest_s = max(found.longest_s, time.monotonic() - began_s)
            shutil.rmtree(bad)
    found.sentences = len(words)
    return found


@contextmanager
def turning(port: int, folder: Path, found: Found) -> Iterator[None]:
    """A device on a clip, in a thread; it turns before this begins and is ended with it."""
    clip = story_clip(folder / "visits.avi", [("circle", 5), ("background", 5)])
    path = write_config(folder / "e.toml", f"file:{clip}", port, "hostile", [RULE])
    stop, last_s = threading.Event(), time.monotonic()
    config, fitted = app.load(path, print, folder / "device")

    def turned(_report: Report) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if found.turns:
            found.longest_turn_s = max(found.longest_turn_s, now_s - last_s)
        found.turns, last_s = found.turns + 1, now_s

    def work() -> None:
        try:
            app.run(config, fitted, stop, root=folder / "device", on_turn=turned)
            found.ended = "" if stop.is_set() else "it stopped by itself"
        except Exception as error:  # noqa: BLE001 - the end of the device is what this looks for
            found.ended = repr(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        until(lambda: found.turns > 3 or bool(found.ended), 60)
        yield
        turns = found.turns
        until(lambda: found.turns > turns + 3 or bool(found.ended), 60)
    finally:
        stop.set()
        thread.join()


def main() -> None:
    """The whole form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with surroundings() as (port, folder):
        found = run(args.count, args.seed, port, folder)
    for kind in hostile.KINDS:
        print(f"  {kind}: {found.refused[kind]} refused, {found.worked[kind]} worked as promised")
    print(f"  in all: {found.refused.total()} refused, {found.worked.total()} worked as promised")
    print(f"  installed all the same: {found.installed}")
    print(f"  different sentences: {found.sentences}")
    print(f"  no sentence: {found.no_sentence or 'none'}")
    print(f"  the longest took {found.longest_s:.1f} s")
    print(f"  the device: {found.turns} turns, the longest {found.longest_turn_s:.2f} s; {found.ended or 'it went on'}")


if __name__ == "__main__":
    main()
