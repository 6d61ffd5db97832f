"""The hot path: one short loop that joins camera, classifier, decision, outbox and publisher.

Law: a turn never waits for anything but the next picture, and for that at most `timeout_s`. Whatever happens outside
is a value that comes back from a port; an exception that leaves this loop ends the process.
"""

from __future__ import annotations

from edged.core.pipeline import Pipeline
from edged.core.trigger import Decider
from edged.core.types import Blind, Decision, End, Frame
from edged.ports import Camera, Classifier, Gate, Heartbeat, Outbox, Publisher, Stop


def run(
    camera: Camera,
    gate: Gate,
    classifier: Classifier,
    decider: Decider,
    pipeline: Pipeline,
    outbox: Outbox,
    publisher: Publisher,
    heartbeat: Heartbeat,
    stop: Stop,
    timeout_s: float,
) -> None:
    """Turns until `stop` is set or the clip is over, then ends what is open with the reason `shutdown`.

    Args:
        timeout_s: the longest turn without a picture, and so the longest wait of the publisher and the heartbeat.
    """
    decisions: list[Decision] = []
    t_s = pipeline.since_s
    with camera:
        while not stop.is_set():
            look = camera.newest(timeout_s)
            if isinstance(look, Frame):
                t_s = look.t_s
                pipeline.seeing(t_s)
                for region in gate.due(look):
                    decisions += decider.update(region, t_s, classifier.scores(look, region))
            elif isinstance(look, Blind):
                t_s = look.t_s
                pipeline.blind(look)
                decisions += decider.blind(t_s, look.reason)
            elif isinstance(look, End):
                break
            publisher.pump(outbox.append(decisions), decisions)
            decisions.clear()
            heartbeat.beat()
    pipeline.change("stopping", None, t_s)
    decisions += decider.blind(t_s, "shutdown")
    publisher.pump(outbox.append(decisions), decisions)
