"""Scenes that the tiny model understands: clips in which drawn shapes come and go. The drawing is the recipe's own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from edged.core.types import Pixels
from edged.modelstore import bundled
from tests.scenes import write_clip

SIZE = (160, 120)
"""(width, height) in pixels."""


def _recipe() -> ModuleType:
    # The recipes are data of the models, no package: they are found where the models are.
    name = "edged_recipe_shapes"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, bundled() / "build" / "shapes.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def pictures(labels: Sequence[str], seed: int = 0) -> Iterator[Pixels]:
    """One drawn picture for each label."""
    random = np.random.default_rng(seed)
    for label in labels:
        yield _recipe().draw(label, SIZE, random)


def still_pictures(labels: Sequence[str], seed: int = 0) -> Iterator[Pixels]:
    """One picture for each label, the same one for the same label, so that a scene is as steady as it says."""
    drawn = dict(zip(dict.fromkeys(labels), pictures(tuple(dict.fromkeys(labels)), seed), strict=True))
    for label in labels:
        yield drawn[label]


def story_clip(path: Path, story: Sequence[tuple[str, int]], fps: float = 10.0, seed: int = 3) -> Path:
    """Writes a clip of a story such as [("background", 10), ("circle", 20), ("background", 40)], in frames."""
    labels = [label for label, frames in story for _ in range(frames)]
    write_clip(path, list(still_pictures(labels, seed)), fps)
    return path
