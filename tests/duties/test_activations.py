"""Versions that come and go in a device, with everything real but the store, the models and the broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from edged import loop
from edged.core import wire
from edged.core.activation import INVOKES, Activation, Limits, Record, Signs
from edged.core.commands import Install, Refusal, UseModel
from edged.core.errors import EdgedError, ModelError
from edged.core.gate import EveryRegion
from edged.core.pipeline import Pipeline
from edged.core.problems import Problems
from edged.core.trigger import Decider
from edged.core.types import Frame, Message, Region, Scores
from edged.duties.activation import Activations
from edged.duties.classifier import ChangingClassifier
from edged.duties.publisher import MqttPublisher
from edged.duties.succession import Choices
from edged.duties.turns import Turns
from edged.edges.identity import Numbering
from edged.edges.outbox_memory import MemoryOutbox
from tests.fakes import REGION, FakeClock, RecordingBroker, ScriptedCamera, frame, rule

TOPICS = wire.Topics("edged", "porch")
CAT = rule("cat")
SECONDS = 10.0


class Model:
    """A classifier that reads its score from the picture, until it fails."""

    def __init__(self, version: str, fails_at: Callable[[Frame], bool] = lambda _: False) -> None:
        self.version, self.limits = version, Limits(SECONDS, 8.0)
        self.last_t_s: float | None = None
        self.judged: list[float] = []
        self._fails_at = fails_at

    def scores(self, frame: Frame, region: Region) -> Scores:
        if self._fails_at(frame):
            raise ModelError("/a/path: the model's output is not a number")
        self.judged.append(frame.t_s)
        return np.array([frame.pixels[0, 0, 0] / 100], np.float32)


class Errands:
    """Work that is done at the turn after the one in which it was asked for."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Callable[[], Any], Callable[[Any], object]]] = []
        self.ended = self.is_busy = False

    @property
    def idle(self) -> bool:
        return not self.waiting

    def add(self, name: str, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        self.waiting.append((name, work, done))

    def turn(self) -> None:
        if self.waiting and not self.is_busy:
            _, work, done = self.waiting.pop(0)
            try:
                found = work()
            except EdgedError as error:
                found = error
            done(found)

    def end(self, timeout_s: float) -> None:
        self.ended = True


@dataclass
class Disk:
    """What is in the store and in the device's folder."""

    chosen: str | None = None
    newest: str = "3"
    record: Record | None = None
    is_writable: bool = True


class Store:
    """The versions 1 to 3; `unfit` says why one is refused."""

    def __init__(self, disk: Disk, models: dict[str, Model]) -> None:
        self.disk, self.models, self.unfit = disk, models, dict[str, str]()
        self.accepted: list[str] = []
        self._seen: object = self
        self.left = False

    def changed(self) -> bool:
        seen, self._seen = self._seen, (self.disk.chosen, self.disk.newest)
        return seen != self._seen

    def look(self) -> Choices:
        return Choices(self.disk.chosen, self.disk.newest)

    def prepare(self, version: str, running: str, slowest_ms: float | None) -> Model:
        if version in self.unfit:
            raise ModelError(self.unfit[version])
        self.disk.record = Record("probation", "toy", version, running, None, FakeClock().label(0.0))
        self.disk.chosen = version
        return self.models[version]

    def keep(self, record: Record) -> None:
        self.disk.record = record
        if record.phase == "settled":
            self.accepted.append(record.version)

    def put_back(self, record: Record) -> Record:
        if not self.disk.is_writable:
            raise ModelError("the model store cannot be written")
        if self.disk.chosen == record.version:
            self.disk.chosen = record.base
        self.disk.record = replace(record, is_put_back=True)
        return self.disk.record

    def leave(self) -> None:
        self.left = True


class Seat:
    """Where the models judge; one is at hand besides, unless it is a cold start."""

    def __init__(self, classifier: ChangingClassifier, occupant: Model) -> None:
        self.classifier, self.occupant, self.spare = classifier, occupant, None
        self.found = Signs(is_looking=True, invokes=INVOKES, p95_ms=1.0, memory=None)
        self.cleared: list[str] = []
        self.spare: Model | None

    def take(self, prepared: Model) -> None:
        self.spare, self.occupant = self.occupant, prepared
        self.classifier.change(prepared, [REGION])

    def give_back(self) -> bool:
        if self.spare is None:
            return False
        self.spare, self.occupant = self.occupant, self.spare
        self.classifier.change(self.occupant, [REGION])
        return True

    def signs(self) -> Signs:
        return self.found

    def slowest_ms(self) -> float | None:
        return 1.0

    def clear(self) -> None:
        if self.spare is not None:
            self.cleared.append(self.spare.version)
        self.spare = None


class Device:
    def __init__(self, record: Record | None = None, *, fixed: str | None = None, chosen: str | None = None) -> None:
        self.clock, self.broker, self.problems = FakeClock(), RecordingBroker(), Problems()
        now = self.clock.label(0.0)
        record = record or Record("settled", "toy", "1", None, None, now)
        self.models = {version: Model(version) for version in "123"}
        self.classifier = ChangingClassifier(self.models[record.running], [REGION])
        self.store = Store(Disk(chosen), self.models)
        self.seat = Seat(self.classifier, self.models[record.running])
        self.pipeline = Pipeline(self.clock.monotonic())
        self.outbox = MemoryOutbox(Numbering(self.clock, "log", "boot", "toy@00"), self.clock, max_rows=100)
        health = Message(TOPICS.health, b"{}", 0, retain=False)
        self.publisher = MqttPublisher(
            self.broker, self.outbox, self.clock, TOPICS, [CAT], self.pipeline, self.problems, [], lambda: health,
            drain_per_s=1000.0, will_delay=True,
        )  # fmt: skip
        self.described, self.restarts, self.errands = 0, 0, Errands()
        self.duty = Activations(
            Activation(record), self.store, self.seat, self.errands, self.clock, TOPICS, self.publisher, self.problems,
            limits=Limits(SECONDS, 8.0), describe=self._describe, restart=self._restart, fixed=fixed,
        )  # fmt: skip
        self.classifier.on_fault = self.duty.fault
        self.broker.up()
        self.duty.start()
        self.turn()

    def _describe(self) -> None:
        self.described += 1

    def _restart(self) -> None:
        self.restarts += 1

    def turn(self, times: int = 8, seconds: float = 1.0) -> None:
        for _ in range(times):
            self.clock.advance(seconds)
            self.publisher.pump((), ())
            self.duty.turn()

    @property
    def phase(self) -> tuple[str, str]:
        return self.duty.record.phase, self.seat.occupant.version

    def open(self) -> dict[str, str]:
        return {problem.code: problem.text for problem in self.problems.all()}

    def answers(self, command: str = "model") -> list[dict[str, Any]]:
        self.turn(3, 0.1)
        return [json.loads(one.payload) for one in self.broker.sent if one.topic == TOPICS.response(command)]

    def update(self) -> dict[str, Any]:
        self.turn(3, 0.1)
        return dict(json.loads([one for one in self.broker.sent if one.topic == TOPICS.update][-1].payload))


def test_what_the_command_line_chose_takes_over_and_settles() -> None:
    device = Device()
    device.store.disk.chosen = "2"
    device.turn(2)
    assert device.phase == ("preparing", "1")
    device.turn(2)
    assert device.phase == ("probation", "2")
    assert device.store.disk.record is not None
    assert device.store.disk.record.phase == "probation", "before it judged anything"
    assert device.store.accepted == []
    device.turn(12)
    assert device.phase == ("settled", "2")
    assert (device.store.accepted, device.seat.cleared) == (["2"], ["1"])
    device.update()
    told = [json.loads(one.payload) for one in device.broker.sent if one.topic == TOPICS.update]
    assert {"installed_version": "1", "latest_version": "3", "title": "toy", "in_progress": True} in told
    assert told[-1] == {"installed_version": "2", "latest_version": "3", "title": "toy", "in_progress": False}
    assert device.open() == {}


def test_a_request_is_answered_when_it_has_taken_over() -> None:
    device = Device()
    assert device.duty.ask(UseModel("toy", "2", "t")) is None
    assert device.phase == ("preparing", "1")
    [answer] = device.answers()
    assert answer == {
        "status": "ok",
        "data": {"name": "toy", "version": "2", "previous": "1"},
        "error": None,
        "transaction": "t",
    }
    assert device.store.disk.chosen == "2"
    refusal = device.duty.ask(UseModel("toy", "3"))
    assert isinstance(refusal, Refusal)
    assert "version 2 being tried" in refusal.error


def test_home_assistant_installs_the_newest() -> None:
    device = Device()
    assert device.duty.ask(Install()) is None
    device.turn(2)
    assert device.phase == ("probation", "3")
    assert device.answers("update") == [], "what is in force is said instead"
    device.turn(15)
    assert isinstance(refusal := device.duty.ask(Install()), Refusal)
    assert "found 3" in refusal.error
    assert device.duty.ask(UseModel("toy", None)) is not None


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (UseModel("another", "2"), "expected the model of the configuration, toy, found another"),
        (UseModel("toy", "1"), "expected another version than the one that runs, found 1"),
    ],
)
def test_what_is_refused_at_once(what: UseModel, error: str) -> None:
    refusal = Device().duty.ask(what)
    assert isinstance(refusal, Refusal)
    assert error in refusal.error


def test_a_model_that_leaves_no_choice_is_only_shown() -> None:
    device = Device(fixed="the configuration names the path of a model", chosen="2")
    device.turn(5)
    assert device.phase == ("settled", "1")
    assert device.update()["latest_version"] == "1"
    refusal = device.duty.ask(Install())
    assert refusal == Refusal("update", "the configuration names the path of a model")


def test_an_unfit_version_is_refused_and_the_choice_put_back() -> None:
    device = Device()
    device.store.unfit["2"] = "/var/lib/edged/models/toy@2/model.tflite: its sha256 is another"
    device.store.disk.chosen = "2"
    device.turn(6)
    assert device.phase == ("refused", "1")
    assert device.duty.record.reason == "its sha256 is another", "no path goes out"
    assert device.open() == {"model_refused": "model toy 2 is not used, 1 is: its sha256 is another"}
    assert device.store.disk.chosen == "1"
    assert device.duty.ask(UseModel("toy", "2", 7)) is None
    assert device.answers()[-1]["error"] == "its sha256 is another"
    # It is mended, and chosen once more.
    device.store.unfit.clear()
    device.store.disk.chosen = "2"
    device.turn(4)
    assert device.phase == ("probation", "2")
    assert device.open() == {}


def test_a_choice_that_is_made_while_another_version_is_prepared_is_not_lost() -> None:
    """It is seen before the failure is written down, and nothing changes in the store afterwards."""
    device = Device()
    device.store.unfit["2"] = "it is damaged"
    device.store.disk.chosen = "2"
    device.turn(2)
    assert device.phase == ("preparing", "1")
    device.errands.is_busy = True
    device.store.disk.chosen = "3"
    device.turn(2)
    device.errands.is_busy = False
    device.turn(8)
    assert device.phase == ("probation", "3")


def test_a_version_that_is_chosen_again_before_the_store_is_looked_at_is_tried_again() -> None:
    device = Device()
    device.store.unfit["2"] = "it is damaged"
    device.store.disk.chosen = "2"
    put_back = device.store.put_back

    def put_back_and_choose(record: Record) -> Record:
        found = put_back(record)
        device.store.disk.chosen = "2"
        device.store.unfit.clear()
        device.store.put_back = put_back  # type: ignore[method-assign]
        return found

    device.store.put_back = put_back_and_choose  # type: ignore[method-assign]
    device.turn(10)
    assert device.phase == ("probation", "2")


def test_a_choice_that_cannot_be_put_back_is_not_tried_again_and_again() -> None:
    device = Device()
    device.store.unfit["2"], device.store.disk.is_writable, device.store.disk.chosen = "it is damaged", False, "2"
    device.turn(4)
    assert device.phase == ("refused", "1")
    device.store.unfit.clear()
    device.turn(20)
    assert device.phase == ("refused", "1")
    device.store.disk.chosen = "3"
    device.turn(4)
    assert device.phase == ("probation", "3")


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        ({"p95_ms": 9.0}, "one invoke in twenty takes 9 ms or more, and there are 8 ms for one"),
        ({"memory": "with it the process takes 300 MB"}, "with it the process takes 300 MB"),
    ],
)
def test_a_version_that_does_not_do_well_is_rolled_back(signs: dict[str, Any], reason: str) -> None:
    device = Device()
    device.duty.ask(UseModel("toy", "2"))
    device.turn(3)
    device.seat.found = replace(device.seat.found, **signs)
    device.turn(4)
    assert device.phase == ("rolled_back", "1")
    assert device.duty.record.reason == reason
    assert device.open() == {"model_rolled_back": f"model toy 2 is not used, 1 is: {reason}"}
    assert (device.store.disk.chosen, device.seat.cleared, device.restarts) == ("1", ["2"], 0)
    assert device.store.accepted == []


def test_what_is_no_longer_wanted_goes_at_once_and_without_a_problem() -> None:
    device = Device()
    device.store.disk.chosen = "2"
    device.turn(4)
    assert device.phase == ("probation", "2")
    device.store.disk.chosen = "1"
    device.turn(4)
    assert device.phase == ("settled", "1")
    assert device.open() == {}
    device.store.disk.chosen = "2"
    device.turn(4)
    device.store.disk.chosen = "3"
    device.turn(6)
    assert device.phase == ("probation", "3")
    assert device.duty.record.previous == "1", "what was never settled is nothing to go back to"


COLD = Record("probation", "toy", "2", "1", None, FakeClock().label(0.0))


def test_a_version_on_probation_from_the_start_settles() -> None:
    device = Device(COLD, chosen="2")
    assert device.phase == ("probation", "2")
    device.turn(15)
    assert device.phase == ("settled", "2")
    assert device.restarts == 0


def test_without_the_one_before_at_hand_a_new_process_goes_back() -> None:
    device = Device(COLD, chosen="2")
    device.seat.found = replace(device.seat.found, p95_ms=100.0)
    device.turn(2)
    assert device.restarts == 1
    assert device.store.disk.record is not None
    assert device.store.disk.record.phase == "rolled_back", "the next start reads why"
    device = Device(COLD, chosen="2")
    device.models["2"]._fails_at = lambda _: True
    with pytest.raises(ModelError):
        device.classifier.scores(frame(1.0), REGION)
    assert device.store.disk.record is not None
    assert device.store.disk.record.reason == "the model's output is not a number"
    device = Device(COLD, chosen="3")
    assert device.restarts > 0
    assert device.phase == ("probation", "2"), "a start finds what is to run"


def test_a_failure_of_the_start_is_told_and_put_back() -> None:
    failure = replace(COLD, phase="rolled_back", reason="the process ended")
    device = Device(failure, chosen="2")
    assert device.phase == ("rolled_back", "1")
    assert device.open() == {"model_rolled_back": "model toy 2 is not used, 1 is: the process ended"}
    assert device.store.disk.chosen == "1"
    assert Device(replace(failure, is_put_back=True), chosen="1").open() == {}, "that is long ago"


def test_a_clean_end_is_written_down() -> None:
    device = Device(COLD, chosen="2")
    device.duty.close()
    assert device.errands.ended
    assert device.store.left


def test_a_store_that_cannot_be_looked_at_is_no_end() -> None:
    device = Device()
    device.store.look = lambda: (_ for _ in ()).throw(ModelError("nothing may be used"))  # type: ignore[method-assign]
    device.store.disk.chosen = "2"
    device.turn(5)
    assert device.phase == ("settled", "1")


def _play(device: Device, frames: Sequence[Frame], beat: Callable[[], object]) -> list[tuple[str, float, str | None]]:
    """The real loop over some frames."""
    decider, told = Decider([CAT], ["cat"]), []

    class Publisher:
        def pump(self, events: Sequence[Any], decisions: Sequence[Any]) -> None:
            told.extend((one.event_type, one.t_s, one.reason) for one in decisions if one.event_type)

    class Stop:
        def is_set(self) -> bool:
            return False

        def wait(self, timeout: float | None = None) -> bool:
            return False

    loop.run(
        ScriptedCamera(frames), EveryRegion([REGION]), device.classifier, decider, device.pipeline, device.outbox,
        Publisher(), Turns([beat, device.duty.turn]), Stop(), 0.25,
    )  # fmt: skip
    return told


FRAMES = [(t_s, 90 if t_s % 7 < 3 else 10) for t_s in range(60)]


@pytest.mark.parametrize("fails_at_s", [None, 25.0, 26.0])
def test_no_frame_and_no_event_is_lost_whatever_becomes_of_it(fails_at_s: float | None) -> None:
    """Every frame is judged exactly once, by the old, the new or, where that fails, the old again."""

    def beat() -> None:
        device.clock.advance(1.0)
        if len(device.models["1"].judged) == 20:
            device.duty.ask(UseModel("toy", "2"))

    device = Device()
    if fails_at_s is not None:
        device.models["2"]._fails_at = lambda one: one.t_s >= fails_at_s
    changed = _play(device, [frame(float(t_s), level) for t_s, level in FRAMES], beat)
    judged = sorted(device.models["1"].judged + device.models["2"].judged)
    assert judged == [float(t_s) for t_s, _ in FRAMES]
    assert len(device.models["2"].judged) > 0
    other = Device()
    plain = _play(other, [frame(float(t_s), level) for t_s, level in FRAMES], lambda: other.clock.advance(1.0))
    assert changed == plain
    assert len(plain) > 10
    assert device.phase == (("settled", "2") if fails_at_s is None else ("rolled_back", "1"))


def test_a_model_that_settled_and_then_fails_ends_the_process_as_ever() -> None:
    device = Device()
    device.models["1"]._fails_at = lambda _: True
    with pytest.raises(ModelError):
        device.classifier.scores(frame(1.0), REGION)
    assert device.phase == ("settled", "1")
