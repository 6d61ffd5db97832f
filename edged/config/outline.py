"""What of a file something outside it must answer to: the model, its labels, the clip, the place of the events.

Law: pure. An `Outline` is there for a file with mistakes, too, so that these do not hide what else is wrong: it holds
what is right by itself, and nothing in place of what is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from edged.config.config import Config
from edged.config.tables import CameraTable, DeviceTable, ModelTable, OutboxTable, RuleTable, Table

T = TypeVar("T", bound=Table)


@dataclass(frozen=True)
class Outline:
    """Tables of which one key counts (`device.name`, `camera.source`, ...); None where that key is wrong.

    Attributes:
        labels: (index, label) of the [[rule]] tables; indices count from 0.
    """

    device: DeviceTable | None
    camera: CameraTable | None
    model: ModelTable | None
    outbox: OutboxTable | None
    labels: tuple[tuple[int, str], ...]


def outline(config: Config) -> Outline:
    """Of a configuration that is valid."""
    labels = tuple((index, rule.label) for index, rule in enumerate(config.rules))
    return Outline(config.device, config.camera, config.model, config.outbox, labels)


def outline_of(data: Mapping[str, Any], context: Mapping[str, Any]) -> Outline:
    """Of a file that may have mistakes anywhere.

    Args:
        data: its tables, lists as tuples.
        context: for the validation, as the whole document has it.
    """
    given = data.get("rule")
    rules = [
        (index, _alone(RuleTable, rule, "label", context))
        for index, rule in enumerate(given if isinstance(given, tuple) else ())
    ]
    return Outline(
        _alone(DeviceTable, data.get("device"), "name", context),
        _alone(CameraTable, data.get("camera"), "source", context),
        _alone(ModelTable, data.get("model"), "name", context),
        _alone(OutboxTable, data.get("outbox"), "path", context),
        tuple((index, rule.label) for index, rule in rules if rule is not None),
    )


def _alone(table: type[T], given: object, key: str, context: Mapping[str, Any]) -> T | None:
    """A table with one of its keys, as if the others were left out; None where that key is wrong or missing."""
    if not isinstance(given, dict):
        return None
    try:
        return table.model_validate({key: given[key]} if key in given else {}, context=dict(context))
    except ValidationError:
        return None
