"""What a person can say of a bare model, what is assumed where nothing is said, and what has to be asked.

Law: plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edged.core.errors import ModelError
from edged.core.types import Activation, Color, Fit


@dataclass(frozen=True)
class Options:
    """What was said; None or nothing: find out.

    Attributes:
        labels: the names themselves, or
        labels_text: what is in a label file that was named.
        mean, std: real value = (pixel - mean) / std.
        outputs: which output of a detector holds what: boxes, classes, scores, count.
    """

    labels: tuple[str, ...] = ()
    labels_text: bytes | None = None
    labels_place: str = ""
    name: str | None = None
    version: str | None = None
    licence: str | None = None
    source: str | None = None
    color: Color | None = None
    fit: Fit | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    activation: Activation | None = None
    background: int | None = None
    outputs: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Assumption:
    """One thing about a model.

    Attributes:
        subject: one word: labels, pixels, scores, …
        value: for a person.
        reason: where it comes from, or why it is likely.
        option: what changes it.
        told: whether somebody said so: the person, the file or what came with it. Else it is a guess.
    """

    subject: str
    value: str
    reason: str
    option: str
    told: bool = True


@dataclass(frozen=True)
class Question:
    """What nobody but the person knows."""

    key: Literal["labels", "pixels"]
    text: str
    option: str


class Unanswered(ModelError):
    """A bare model cannot be used before somebody answers.

    Attributes:
        questions: all of them at once.
    """

    def __init__(self, questions: tuple[Question, ...]) -> None:
        super().__init__("; ".join(f"{one.text} ({one.option})" for one in questions))
        self.questions = questions
