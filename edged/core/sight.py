"""Whether what the camera delivers can be trusted: black, blinded, covered, frozen and turned cameras.

Law: judges small brightness pictures and their times, nothing else; seconds, never numbers of pictures, because a
camera may give thirty a second or one in ten. A false alarm makes every rule unknown, so a fault has to last before it
is one, has to be gone for a while before all is well, and ends by a stricter measure than it began.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edged.core.detail import COLUMNS, ROWS, Cells, Detail, Floats
from edged.core.outlook import ACCEPT_S, Outlook
from edged.core.types import Box, Frame

STUDY_EVERY_S = 0.5
LASTS_S = 5.0
"""So long a picture must show nothing: longer than lightning, or a hand that wipes the lens."""
TURNED_S = 10.0
"""So long a view must be another one: longer than a gust, or somebody who walks by close to the lens."""
GONE_S = 2.0
FROZEN_S = 60.0
"""A still scene repeats for seconds in an H.264 stream, from one key frame to the next; noise never does for 60."""
FROZEN_REPEATS = 4
THAWED_CHANGES = 3
"""So many pictures must differ, none `FROZEN_S / 2` after the other: a stuck encoder may give one a minute."""
GAP_S = 10.0
"""A time without a picture that is longer than this, and than three usual ones, is an interruption."""

SENTENCES = {
    "black": "the picture is black: uncover the lens, or give the camera light",
    "blinded": "the picture is white: turn the camera away from the light that blinds it, or shade it",
    "covered": "the picture shows nothing but an even surface: uncover or clean the lens",
    "frozen": f"the very same picture has come for {FROZEN_S:g} s: restart the camera",
    "turned": (
        "the camera looks elsewhere than before: turn it back, or leave it as it is; "
        f"what it shows for {ACCEPT_S / 60:g} minutes without a change becomes its view"
    ),
}


class Stillness:
    """Tells when the very same picture comes for too long.

    Attributes:
        is_frozen: what the pictures so far say.
    """

    def __init__(self) -> None:
        self.is_frozen = False
        self._changed_s = math.nan
        self._repeats = 0
        self._changes = 0

    def look(self, t_s: float, repeated: bool) -> None:
        """One picture; `repeated`: to the last bit the one before."""
        if repeated and not math.isnan(self._changed_s):
            self._repeats += 1
            still_s = t_s - self._changed_s
            self.is_frozen = self.is_frozen or (still_s >= FROZEN_S and self._repeats >= FROZEN_REPEATS)
            if still_s >= FROZEN_S / 2 and self._repeats > 1:
                self._changes = 0
            return
        self._changed_s, self._repeats = t_s, 0
        self._changes += not repeated
        if self._changes >= THAWED_CHANGES:
            self.is_frozen = False

    def interrupt(self) -> None:
        """There were no pictures for a while: what lasted begins anew."""
        self._changed_s = math.nan
        self._repeats = self._changes = 0


class Sign:
    """One thing that may be wrong, and since when it has looked so.

    Args:
        lasts_s: so long it must look so before it counts.
    """

    def __init__(self, lasts_s: float) -> None:
        self._lasts_s = lasts_s
        self._since_s: float | None = None

    def counts(self, t_s: float, is_there: bool) -> bool:
        """Whether it has been there for long enough."""
        if not is_there:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = t_s
        return t_s - self._since_s >= self._lasts_s

    def interrupt(self) -> None:
        """Begins to count anew."""
        self._since_s = None


class Sight:
    """Judges one camera's pictures.

    Args:
        masks: parts of the picture that are black on purpose and do not count.
    """

    def __init__(self, masks: Sequence[Box] = ()) -> None:
        self._masks = tuple(masks)
        self._fault: str | None = None
        self._name = "covered"
        self._clear_s: float | None = None
        self._signs = {"bare": Sign(LASTS_S), "frozen": Sign(0.0), "turned": Sign(TURNED_S)}
        self._there = dict.fromkeys(self._signs, False)
        self._stillness = Stillness()
        self._t_s = self._studied_s = math.nan
        self._usual_s = 0.0
        self._shape: tuple[int, ...] = ()

    def judge(self, frame: Frame) -> str | None:
        """None while the pictures can be trusted, else one sentence for a person, the same as long as it is true.

        Args:
            frame: its `t_s`, `luma` and `repeated` are looked at, nothing is kept.
        """
        t_s = frame.t_s
        passed_s = t_s - self._t_s
        if passed_s < 0.0 or passed_s > max(GAP_S, 3.0 * self._usual_s):
            self.interrupt()
        self._t_s, self._usual_s = t_s, passed_s
        self._stillness.look(t_s, frame.repeated)
        self._there["frozen"] = self._stillness.is_frozen
        # Half a millisecond, because sums of tenths of seconds are not exact.
        if not t_s - self._studied_s < STUDY_EVERY_S - 0.0005:
            self._study(frame, 0.0 if math.isnan(self._studied_s) else t_s - self._studied_s)
            self._studied_s = t_s
        return self._verdict(t_s)

    def interrupt(self) -> None:
        """There are no pictures for a while: what lasts begins to count anew; faults and the learnt view stay."""
        self._studied_s = math.nan
        self._clear_s = None
        self._stillness.interrupt()
        for sign in self._signs.values():
            sign.interrupt()
        if self._shape:
            self._detail.interrupt()
            if self._outlook is not None:
                self._outlook.interrupt()

    def _study(self, frame: Frame, seconds: float) -> None:
        if frame.luma.shape != self._shape:
            self._fit(frame.luma.shape)
            seconds = 0.0
        self._reduction.of(frame.luma, self._cells)
        self._detail.look(self._cells, seconds)
        is_bare = self._there["bare"] = self._detail.name is not None
        if self._outlook is not None and not is_bare:
            is_turned = self._fault == "turned"
            self._there["turned"] = self._outlook.study(self._detail.mean, seconds, held=is_turned)
        elif self._fault != "turned":
            self._there["turned"] = False

    def _fit(self, shape: tuple[int, ...]) -> None:
        """Makes what depends on the picture's size; a view of another size is learnt anew."""
        self._shape = shape
        self._reduction = Cells((shape[0], shape[1]), self._masks)
        seen = self._reduction.seen
        self._cells: Floats = np.zeros(seen.shape, np.float32)
        self._detail = Detail(seen)
        self._outlook = Outlook(seen) if seen.shape == (ROWS, COLUMNS) else None
        self._there["turned"] = False

    def _verdict(self, t_s: float) -> str | None:
        there = self._there
        first = None
        for name, sign in self._signs.items():
            if sign.counts(t_s, there[name]):
                first = first or name
        if self._fault is None or not there[self._fault]:
            self._fault = first or self._fault
        if self._fault is None or there[self._fault]:
            self._clear_s = None
        else:
            if self._clear_s is None:
                self._clear_s = t_s
            if t_s - self._clear_s >= GONE_S:
                self._fault = None
        if self._fault == "bare":
            # Another name while it lasts; for the moment in which it is going, the last one.
            self._name = self._detail.name or self._name
            return SENTENCES[self._name]
        return None if self._fault is None else SENTENCES[self._fault]
