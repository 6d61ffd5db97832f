"""Rule sets as nobody would write them by hand: every length, every script, every character that a title may have."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from edged.core.types import Rule
from tests.fakes import rule

NAME = "abcdefghijklmnopqrstuvwxyz0123456789"
TITLES = (
    "Cat on the porch",
    "猫がいる",
    "קטע",
    '"quoted" \\ {{ braces }} {% % }',
    "<b>bold</b> & co",
    "🐈" * 100,
    "ŒÆ ß",
    "-",
    "None",
)
SEED = 2


def names(random_: random.Random, count: int) -> list[str]:
    found: set[str] = set()
    while len(found) < count:
        length = random_.choice((0, 1, 7, 31))
        found.add(random_.choice(NAME) + "".join(random_.choices(NAME + "_-", k=length)))
    return sorted(found)


def rule_sets(count: int) -> Iterator[Sequence[Rule]]:
    """The largest first, then `count` that a fixed seed draws."""
    random_ = random.Random(SEED)
    yield [rule(f"{index:02}".ljust(32, "x"), title="🐈" * 100) for index in range(32)]
    for _ in range(count):
        drawn = names(random_, random_.choice((1, 2, 3, 5, 8)))
        yield [rule(name, title=random_.choice(TITLES) if random_.random() < 0.8 else "") for name in drawn]
