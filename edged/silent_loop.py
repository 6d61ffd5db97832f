"""The real loop in silence: all of a run but camera, broker and supervisor. Part of the composition root.

What is measured with it is what a turn costs while nothing happens outside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from edged import loop
from edged.core import wire
from edged.core.gate import EveryRegion
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.trigger import Decider
from edged.core.types import Message, Region, Rule
from edged.device import TURN_S
from edged.duties.publisher import MqttPublisher
from edged.edges.identity import Numbering, new_id
from edged.edges.outbox_memory import MemoryOutbox
from edged.ports import Camera, Classifier, Clock, Gate, Notice


def run(
    camera: Camera,
    classifier: Classifier,
    region: Region,
    label: str,
    clock: Clock,
    gate: Callable[[Decider], Gate] | None = None,
) -> None:
    """Turns until the camera gives `End`, with one rule whose threshold nothing reaches.

    Args:
        gate: makes the gate; left out, every frame is classified.
    """
    rule = Rule("bench", "bench", label, region.name, 1.0, 0.9, 0.5, 3.0, 0.0)
    pipeline, silence = Pipeline(clock.monotonic()), _Silence()
    outbox = MemoryOutbox(Numbering(clock, new_id(), "bench", "bench"), clock, max_rows=1000)
    topics = wire.Topics("edged", "bench")
    info = Message(topics.info, b"{}", 1, retain=True)
    publisher = MqttPublisher(
        silence,
        outbox,
        clock,
        topics,
        (rule,),
        pipeline,
        Problems(),
        (info,),
        lambda: info,
        drain_per_s=1.0,
        will_delay=True,
    )
    decider = Decider((rule,), (label,))
    loop.run(
        camera,
        EveryRegion((region,)) if gate is None else gate(decider),
        classifier,
        decider,
        pipeline,
        outbox,
        publisher,
        silence,
        threading.Event(),
        TURN_S,
    )


class _Silence:
    """A broker that is never there, and a heartbeat that nobody hears."""

    def start(self) -> None: ...

    def poll(self) -> Notice | None:
        return None

    def publish(self, message: Message) -> int | None:  # noqa: ARG002
        return None

    def drop(self, text: str, wait_s: float = 0.0) -> None: ...

    def stop(self, reason_code: int) -> None: ...

    def beat(self) -> None: ...
