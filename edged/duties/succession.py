"""What it takes to have one model follow another: shapes of doors, as `ports` has them, and no line of behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from edged.core.activation import Limits, Record, Signs
from edged.core.errors import EdgedError

T = TypeVar("T")


class Errands(Protocol):
    """Work beside the loop, see `edges.errands`."""

    @property
    def idle(self) -> bool:
        """Whether nothing is being done and nothing waits."""

    def add(self, name: str, work: Callable[[], T], done: Callable[[T | EdgedError], object]) -> None:
        """Has some work done when its turn comes."""

    def turn(self) -> None:
        """Hands over what is finished."""

    def end(self, timeout_s: float) -> None:
        """Waits for what is being done."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the store has of the model.

    Attributes:
        chosen: the version that was chosen; None where none was.
        newest: the newest that may be used.
    """

    chosen: str | None
    newest: str


class Prepared(Protocol):
    """A version that is ready to judge."""

    @property
    def limits(self) -> Limits:
        """What it is held to on probation."""


P = TypeVar("P", bound=Prepared)
P_co = TypeVar("P_co", bound=Prepared, covariant=True)
P_contra = TypeVar("P_contra", bound=Prepared, contravariant=True)


class Store(Protocol[P_co]):
    """The versions on the disk. All but `changed` takes time, and may raise edged's own errors."""

    def changed(self) -> bool:
        """Whether anything happened in the store since this was asked last."""

    def look(self) -> Choices:
        """What there is."""

    def prepare(self, version: str, running: str, slowest_ms: float | None) -> P_co:
        """Judges, verifies, loads and tries a version; it is chosen, and on probation on the disk, when this returns.

        Args:
            slowest_ms: what an invoke of the running one takes, but for one in twenty.
        """

    def keep(self, record: Record) -> None:
        """Writes down how things stand. A version that settled is accepted."""

    def put_back(self, record: Record) -> Record:
        """Writes down a failure, and sees to it that the store's choice is the version that runs."""

    def leave(self) -> None:
        """Writes down that a probation ended with the process and not by the version; nothing is written afterwards."""


class Seat(Protocol[P_contra]):
    """Where models judge. All of it between two frames."""

    def take(self, prepared: P_contra) -> None:
        """It judges from now on; the one before stays at hand."""

    def give_back(self) -> bool:
        """The one before judges again; False where there is none at hand."""

    def signs(self) -> Signs:
        """How the one that judges does."""

    def slowest_ms(self) -> float | None:
        """What an invoke takes now, but for one in twenty."""

    def clear(self) -> None:
        """Lets go of the one that does not judge. Takes time: for an errand."""
