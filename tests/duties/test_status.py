"""What `systemctl status` says of the pipeline."""

from __future__ import annotations

from edged.core.pipeline import Pipeline
from edged.core.types import Blind
from edged.duties.status import Status


def test_each_change_is_said_once_in_words() -> None:
    pipeline, said = Pipeline(0.0), list[str]()
    status = Status(pipeline, said.append)

    def turns() -> list[str]:
        said.clear()
        for _ in range(3):
            status.turn()
        return said

    assert turns() == ["starting"]
    pipeline.seeing(1.0)
    assert turns() == ["running"]
    pipeline.seeing(2.0)
    assert turns() == []
    pipeline.blind(Blind(3.0, "camera_lost", "no picture for 5 s"))
    assert turns() == ["camera lost: no picture for 5 s"]
    pipeline.blind(Blind(4.0, "camera_lost", "there is no such device"))
    assert turns() == ["camera lost: there is no such device"]
    pipeline.change("paused", "requested", 5.0)
    assert turns() == ["paused: requested"]


def test_it_stays_one_line() -> None:
    pipeline, said = Pipeline(0.0), list[str]()
    pipeline.change("model_fault", "it failed\nREADY=0", 1.0)
    Status(pipeline, said.append).turn()
    assert said == ["model fault: it failed READY=0"]
