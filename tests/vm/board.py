"""A board for tests: the image on a card, started anew, or gone on with from where it ran well.

A start takes half a minute to two minutes, to go on from a saved state takes seconds.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.appliance import CONFIGURATION, Appliance, hardware
from tests.vm.card import Card, take_kernel
from tests.vm.hardware import Drive


@dataclass(frozen=True)
class Saved:
    """An appliance that runs well: its disk and its memory at one moment."""

    card: Path
    memory: Path


class Board:
    """Makes appliances of one image.

    Args:
        image: as `image/build` made it; never written to.
        tools: the disk with what tests need beside it.
        folder: for the files of the machines.
        state: a folder for the saved state, which is used again where it is there already.
    """

    def __init__(self, image: Path, tools: Path, folder: Path, state: Path) -> None:
        self._image = Card(image)
        self._tools = tools
        self._folder = folder
        self._kernel = take_kernel(self._image, tools, folder)
        self._state = state

    def card(self, folder: Path, **files: str) -> Card:
        """A new card, with files that a person put on its FAT partition; `edged_toml` is edged.toml."""
        card = self._image.copy(folder / "card.img")
        for name, text in files.items():
            card.put(name.replace("_", "."), text, folder)
        return card

    def started(self, folder: Path, card: Card, **changes: Any) -> Appliance:
        """One that boots from a card and keeps what it writes there."""
        drive = Drive("card", card.file, "kept")
        return Appliance(hardware(self._kernel, drive, self._tools, folder, **changes), folder)

    def restored(self, folder: Path, card: Drive | None = None, **changes: Any) -> Appliance:
        """One that goes on from the saved state.

        Args:
            card: a copy of the saved card, for who wants to keep what is written; left out, it is forgotten.
        """
        saved = self.saved()
        drive = card or Drive("card", saved.card, "forgotten")
        changes = {"saved": saved.memory, **changes}
        return Appliance(hardware(self._kernel, drive, self._tools, folder, **changes), folder)

    def saved(self) -> Saved:
        """Boots once and waits for a picture and events; the camera then shows a scene without any."""
        saved = Saved(self._state / "card.img", self._state / "memory")
        if self._state.exists():
            return saved
        # It gets its name when it is whole; of two that make it at once the second one's is as good.
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=self._state.parent))
        try:
            with self.started(partial, self.card(partial, edged_toml=CONFIGURATION)) as appliance:
                appliance.still()
                appliance.wait_for_state("running")
                appliance.move()
                appliance.wait_for_events(2)
                appliance.rest()
                appliance.save(partial / saved.memory.name)
            with contextlib.suppress(OSError):
                partial.rename(self._state)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return saved
