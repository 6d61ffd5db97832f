"""Which version of a model runs, and what becomes of one that is tried.

    settled --prepare--> preparing --prepared--> probation --its time is over--> settled
                         preparing --refused---> refused       (the version before goes on)
                                                 probation --it fails----------> rolled_back (the same)

Law: pure, time is an argument. A `Record` is kept before its version takes over, so that after whatever end of the
process `begin` finds one version to run: the one that was tried, or the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from edged.core.types import ClockQuality, WallTime

Phase = Literal["settled", "preparing", "probation", "refused", "rolled_back"]
FAILED: tuple[Phase, ...] = ("refused", "rolled_back")
INVOKES = 20
"""So many at least, before their 95th percentile says something."""
LATEST_S = 253_402_300_799.0
"""The last second of the year 9999: what is kept may be damaged, and is told."""
DIED = "the process ended while the version was on probation"


@dataclass(frozen=True, slots=True)
class Record:
    """How things stand with a model, as `D/info` tells it and the device's folder keeps it.

    Attributes:
        name: of the model.
        version: settled, probation: the one that runs; else the one that is or was tried.
        previous: the one that runs or would run in its place; for settled None.
        reason: why it failed, one sentence; None where it did not.
        since: when the phase began.
        is_left: of a probation: the process ended by itself, and not because of the version.
        is_put_back: of a failure: the store's choice is no longer that version.
    """

    phase: Phase
    name: str
    version: str
    previous: str | None
    reason: str | None
    since: WallTime
    is_left: bool = False
    is_put_back: bool = False

    @property
    def running(self) -> str:
        """The version that runs."""
        return self.version if self.previous is None or self.phase == "probation" else self.previous

    @property
    def base(self) -> str:
        """The version that is known to run well."""
        return self.previous or self.version

    def as_json(self) -> dict[str, Any]:
        """What is to be kept."""
        return asdict(self)


def read(kept: Mapping[str, Any]) -> Record | None:
    """What `as_json` once gave; None for anything else."""
    phase: Phase | None = next((one for one in get_args(Phase) if one == kept.get("phase")), None)
    name, version, previous = kept.get("name"), kept.get("version"), kept.get("previous")
    reason, since = kept.get("reason"), _moment(kept.get("since"))
    if phase is None or since is None or not isinstance(name, str) or not isinstance(version, str):
        return None
    if not isinstance(reason, str | None) or not isinstance(previous, str | None):
        return None
    if (previous is None) != (phase == "settled"):
        return None
    flags = (kept.get("is_left") is True, kept.get("is_put_back") is True)
    return Record(phase, name, version, previous, reason, since, *flags)


def _moment(kept: object) -> WallTime | None:
    if not isinstance(kept, Mapping):
        return None
    utc_s = kept.get("utc_s")
    clock: ClockQuality | None = next((one for one in get_args(ClockQuality) if one == kept.get("clock")), None)
    if clock is None or not isinstance(utc_s, int | float) or not 0.0 <= utc_s <= LATEST_S:
        return None
    return WallTime(float(utc_s), clock)


def begin(
    name: str,
    chosen: str | None,
    kept: Record | None,
    there: Collection[str],
    now: WallTime,
    objection: str | None = None,
) -> Record | None:
    """Which version a process that starts is to run, decided here and nowhere else.

    Args:
        chosen: the version that the name stands for; None where there is none.
        kept: what the process before left.
        there: every version that may be run.
        objection: why the chosen one may not be.

    Returns:
        The record to keep before anything of it is loaded; None where there is nothing to run.
    """
    base = kept.base if kept is not None and kept.name == name and kept.base in there else None
    if kept is None or base is None:
        return None if chosen is None or objection else Record("settled", name, chosen, None, None, now)
    if chosen is None or chosen == base:
        return _resting(kept, base, now)
    if chosen == kept.version and kept.phase in FAILED and not kept.is_put_back:
        return kept
    if objection is not None:
        return Record("refused", name, chosen, base, objection, now)
    if chosen == kept.version and kept.phase == "probation":
        return replace(kept, is_left=False) if kept.is_left else failed(kept, "rolled_back", DIED, now)
    return Record("probation", name, chosen, base, None, now)


def _resting(kept: Record, base: str, now: WallTime) -> Record:
    """The version that runs well goes on; of a version that failed it stays known why."""
    if kept.phase in FAILED:
        return replace(kept, is_put_back=True)
    return kept if kept.phase == "settled" else Record("settled", kept.name, base, None, None, now)


def failed(record: Record, phase: Phase, reason: str, now: WallTime) -> Record:
    """The record of a version that did not make it."""
    return replace(record, phase=phase, reason=reason, since=now, is_left=False, is_put_back=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a version on probation is held to.

    Attributes:
        seconds: of running pictures that it has to stand.
        p95_ms: the most that an invoke may take, but for one in twenty.
    """

    seconds: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Signs:
    """How a version on probation does.

    Attributes:
        is_looking: pictures come and are judged.
        invokes: so many since it took over.
        p95_ms: of those; None before the first.
        memory: what is wrong with the memory of the process; None for nothing.
    """

    is_looking: bool
    invokes: int
    p95_ms: float | None
    memory: str | None


class Activation:
    """The versions of one model while the daemon runs.

    Attributes:
        record: how things stand; `preparing` only while a version is being prepared.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self._declined = record.version if record.phase in FAILED and not record.is_put_back else None
        self._limits: Limits | None = None
        self._t_s = self._passed_s = 0.0

    def wanted(self, chosen: str | None) -> str | None:
        """The version to prepare, or to go back to, because the store's choice is `chosen`; None for nothing to do.

        A choice that was declined and could not be put back is not tried again and again.
        """
        if chosen is None or self.record.phase == "preparing":
            return None
        if chosen == self.record.running:
            self._declined = None
            return None
        return None if chosen == self._declined else chosen

    def prepare(self, version: str, now: WallTime) -> None:
        """A version is being prepared; what runs goes on."""
        self.record = Record("preparing", self.record.name, version, self.record.running, None, now)
        self._declined = None

    def prepared(self, limits: Limits, t_s: float, now: WallTime) -> None:
        """It takes over."""
        self.record = replace(self.record, phase="probation", since=now)
        self.resume(limits, t_s)

    def resume(self, limits: Limits, t_s: float) -> None:
        """Its probation begins, perhaps anew after a clean end."""
        self._limits, self._t_s, self._passed_s = limits, t_s, 0.0

    def refused(self, reason: str, now: WallTime) -> None:
        """It is not fit to take over."""
        self._fail("refused", reason, now)

    def put_back(self) -> None:
        """The store's choice is no longer the version that failed: whoever chooses it again wants it tried again."""
        self._declined = None

    def roll_back(self, reason: str, now: WallTime) -> None:
        """It did not do well."""
        self._fail("rolled_back", reason, now)

    def settle(self, version: str, now: WallTime) -> None:
        """That version runs from now on."""
        self.record = Record("settled", self.record.name, version, None, None, now)

    def judge(self, signs: Signs, t_s: float) -> str | None:
        """Why a version on probation has to go; None while it may stay."""
        if self._limits is None or self.record.phase != "probation":
            return None
        if signs.is_looking:
            self._passed_s += t_s - self._t_s
        self._t_s = t_s
        if signs.memory is not None:
            return signs.memory
        if signs.p95_ms is not None and signs.invokes >= INVOKES and signs.p95_ms > self._limits.p95_ms:
            return (
                f"one invoke in twenty takes {signs.p95_ms:.3g} ms or more, and there are {self._limits.p95_ms:.3g} ms "
                "for one"
            )
        return None

    def has_stood(self, signs: Signs) -> bool:
        """Whether the probation is over: its time, and enough invokes to say how long they take."""
        if self._limits is None or self.record.phase != "probation":
            return False
        return self._passed_s >= self._limits.seconds and signs.invokes >= INVOKES

    def _fail(self, phase: Phase, reason: str, now: WallTime) -> None:
        self.record = failed(self.record, phase, reason, now)
        self._declined = self.record.version
