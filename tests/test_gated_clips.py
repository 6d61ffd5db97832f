"""The gate with real models on real pixels: what it lets pass tells the same story as every frame would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate import DEFAULT_DELAYS, NO_DELAYS, Seen, judge, see
from edged.core.types import Pixels
from edged.demo import CLIP
from tests.conftest import EMULATED
from tests.drawn import SIZE, pictures
from tests.scenes import write_clip

FPS = 10.0
SHAPES = ("circle", "square", "star")


def shapes_that_come_and_go(random: np.random.Generator) -> list[Pixels]:
    """A still scene with a living sensor, into which pictures of shapes are pushed from a side, or appear at once."""
    labels = ["background", *random.permutation(SHAPES)]
    scene, *visitors = pictures(labels, int(random.integers(1000)))
    width = SIZE[0]
    clip: list[Pixels] = [scene] * 60
    for visitor in visitors:
        slides = int(random.choice([0, 5, 12]))
        ways = [round(width * step / (slides + 1)) for step in range(1, slides + 1)]
        pushed = [np.hstack([visitor[:, width - way :], scene[:, : width - way]]) for way in ways]
        clip += [*pushed, *[visitor] * int(random.integers(15, 60)), *reversed(pushed)]
        clip += [scene] * int(random.integers(45, 90))
    noise = random.normal(0.0, random.choice([1.0, 4.0]), (7, *scene.shape))
    return [np.clip(picture + noise[index % 7], 0, 255).astype(np.uint8) for index, picture in enumerate(clip)]


def told(seen: Seen, delays: tuple[float, float]) -> None:
    labels, tally = judge(seen, delays=delays)
    assert labels
    assert tally.ungated >= 2
    assert (tally.missed, tally.gated) == (0, tally.ungated), labels
    assert max(tally.shares) < 1.0


@pytest.mark.parametrize("seed", range(2 if EMULATED else 6))
def test_drawn_shapes_are_told_as_without_a_gate(seed: int, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "shapes.avi", shapes_that_come_and_go(np.random.default_rng(seed)), FPS)
    told(see(clip, "shapes-int8"), DEFAULT_DELAYS if seed % 2 else NO_DELAYS)


@pytest.mark.skipif(EMULATED, reason="150 pictures for a large model")
def test_the_bundled_clip_is_told_as_without_a_gate() -> None:
    seen = see(CLIP)
    told(seen, DEFAULT_DELAYS)
    told(seen, NO_DELAYS)
