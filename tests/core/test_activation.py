"""What becomes of a version that is tried, and which one a start runs: every combination of what it may find."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from typing import Any, get_args

import pytest

from edged.core import activation
from edged.core.activation import FAILED, INVOKES, Activation, Limits, Phase, Record, Signs, begin
from edged.core.types import WallTime

NOW, LATER = WallTime(100.0, "synced"), WallTime(200.0, "synced")
WELL = Signs(is_looking=True, invokes=1000, p95_ms=5.0, memory=None)
LIMITS = Limits(seconds=10.0, p95_ms=8.0)


def record(phase: Phase = "settled", version: str = "1", previous: str | None = None, **more: Any) -> Record:
    reason = "it is too slow" if phase in FAILED else None
    return Record(phase, "toy", version, previous, reason, NOW, **more)


SETTLED = record()
PROBATION = record("probation", "2", "1")
LEFT = replace(PROBATION, is_left=True)
ROLLED_BACK = record("rolled_back", "2", "1")
PUT_BACK = replace(ROLLED_BACK, is_put_back=True)


@pytest.mark.parametrize(
    ("chosen", "kept", "there", "runs", "phase"),
    [
        ("1", None, "12", "1", "settled"),
        ("2", replace(PROBATION, name="another"), "12", "2", "settled"),
        ("1", SETTLED, "1", "1", "settled"),
        # Chosen while the daemon did not run: what ran before is there to come back.
        ("2", SETTLED, "12", "2", "probation"),
        ("2", SETTLED, "2", "2", "settled"),
        # The process died on probation, and the choice was written already; or was not, or another one was made.
        ("2", PROBATION, "12", "1", "rolled_back"),
        ("2", PROBATION, "2", "2", "settled"),
        ("1", PROBATION, "12", "1", "settled"),
        ("3", PROBATION, "123", "3", "probation"),
        (None, PROBATION, "12", "1", "settled"),
        # It ended by itself.
        ("2", LEFT, "12", "2", "probation"),
        ("1", LEFT, "12", "1", "settled"),
        # It failed, and the choice could not be put back yet; or was, and somebody chose it once more.
        ("2", ROLLED_BACK, "12", "1", "rolled_back"),
        ("1", ROLLED_BACK, "12", "1", "rolled_back"),
        ("2", PUT_BACK, "12", "2", "probation"),
        ("1", PUT_BACK, "12", "1", "rolled_back"),
        ("3", PUT_BACK, "123", "3", "probation"),
        ("2", ROLLED_BACK, "2", "2", "settled"),
    ],
)
def test_what_a_start_runs(chosen: str | None, kept: Record | None, there: str, runs: str, phase: Phase) -> None:
    found = begin("toy", chosen, kept, there, LATER)
    assert found is not None
    assert (found.running, found.phase) == (runs, phase)


def test_a_start_that_finds_nothing_runs_nothing() -> None:
    assert begin("toy", None, None, "", LATER) is None
    assert begin("toy", None, SETTLED, "2", LATER) is None
    assert begin("toy", "1", None, "1", LATER, "it is not signed") is None
    assert begin("toy", "1", SETTLED, "1", LATER, "it is not signed") is not None


def test_what_may_not_run_does_not_and_the_one_before_does() -> None:
    found = begin("toy", "2", SETTLED, "1", LATER, "it is not signed")
    assert found == Record("refused", "toy", "2", "1", "it is not signed", LATER)
    assert begin("toy", "2", found, "1", LATER, "it is not signed") == found


RECORDS = [
    None,
    *(record(version=version) for version in "123"),
    *(
        record(phase, version, previous, is_left=is_left, is_put_back=is_put_back)
        for phase in get_args(Phase)
        if phase != "settled"
        for version, previous in itertools.permutations("123", 2)
        for is_left in (False, True)
        for is_put_back in (False, True)
    ),
]
SUBSETS = [set(some) for count in range(4) for some in itertools.combinations("123", count)]


@pytest.mark.parametrize("chosen", [None, "1", "2", "3"])
@pytest.mark.parametrize("objection", [None, "no"])
def test_a_start_never_runs_what_is_not_there_and_never_nothing(chosen: str | None, objection: str | None) -> None:
    """Every record, choice and store: old or new, never none, and the same again when it is killed at once."""
    for kept, there in itertools.product(RECORDS, SUBSETS):
        if chosen is not None and (objection is None) != (chosen in there):
            continue
        found = begin("toy", chosen, kept, there, LATER, objection)
        if found is None:
            base = kept.base if kept is not None else None
            assert not {chosen, base} & there
            continue
        assert found.running in there
        assert found.running in {chosen, kept.base if kept is not None else chosen}
        assert activation.read(json.loads(json.dumps(found.as_json()))) == found
        again = begin("toy", chosen, found, there, LATER, objection)
        assert again is not None
        assert again.running in there
        # Whatever dies at once is back to what ran well before, and stays there.
        third = begin("toy", chosen, again, there, LATER, objection)
        assert third is not None
        assert third.running == again.running == found.base


@pytest.mark.parametrize("kept", [one for one in RECORDS if one is not None][:40])
def test_damage_is_no_record(kept: Record) -> None:
    chance = random.Random(3)
    whole = json.loads(json.dumps(kept.as_json()))
    for key in whole:
        if key.startswith("is_"):
            continue
        for value in ([], {}, 7, True, "x" if key in ("phase", "since") else None, {"utc_s": 1e300, "clock": "synced"}):
            if (key, value) == ("reason", None) or (key == "previous" and value is None and kept.phase == "settled"):
                continue
            assert activation.read({**whole, key: value}) is None, (key, value)
        del (damaged := dict(whole))[key]
        assert (activation.read(damaged) is None) or key in ("reason", "previous")
    assert activation.read({str(chance.random()): chance.random()}) is None


def on_probation() -> Activation:
    machine = Activation(SETTLED)
    machine.prepare("2", NOW)
    machine.prepared(LIMITS, 0.0, NOW)
    return machine


def test_a_version_takes_over_and_settles_after_its_time() -> None:
    machine = Activation(SETTLED)
    assert machine.wanted("2") == "2"
    machine.prepare("2", NOW)
    assert (machine.record.phase, machine.record.running) == ("preparing", "1")
    assert machine.wanted("3") is None, "one at a time"
    machine.prepared(LIMITS, 0.0, NOW)
    assert (machine.record.phase, machine.record.running, machine.record.previous) == ("probation", "2", "1")
    assert machine.wanted("2") is None
    for t_s in range(1, 10):
        assert machine.judge(WELL, float(t_s)) is None
        assert not machine.has_stood(WELL)
    assert machine.judge(WELL, 10.0) is None
    assert machine.has_stood(WELL)
    machine.settle("2", LATER)
    assert machine.record == Record("settled", "toy", "2", None, None, LATER)
    assert machine.judge(replace(WELL, p95_ms=100.0), 11.0) is None


def test_time_without_pictures_is_no_probation() -> None:
    machine = on_probation()
    machine.judge(WELL, 5.0)
    blind = replace(WELL, is_looking=False)
    machine.judge(blind, 1000.0)
    assert not machine.has_stood(WELL)
    machine.judge(WELL, 1005.0)
    few = replace(WELL, invokes=INVOKES - 1)
    assert not machine.has_stood(few), "nobody has seen yet how fast it is"
    assert machine.has_stood(replace(few, invokes=INVOKES))


def test_why_a_version_has_to_go() -> None:
    machine = on_probation()
    slow = replace(WELL, p95_ms=8.1)
    assert machine.judge(replace(slow, invokes=INVOKES - 1), 1.0) is None, "too few to say"
    assert machine.judge(replace(slow, p95_ms=None), 1.0) is None
    assert "8.1 ms or more, and there are 8 ms" in str(machine.judge(slow, 1.0))
    assert machine.judge(replace(WELL, memory="it is full"), 1.0) == "it is full"
    machine.roll_back("it is full", LATER)
    assert machine.record == Record("rolled_back", "toy", "2", "1", "it is full", LATER)
    assert machine.record.running == "1"


@pytest.mark.parametrize("failing", ["refused", "roll_back"])
def test_what_failed_is_tried_again_only_when_it_was_chosen_anew(failing: str) -> None:
    machine = on_probation()
    getattr(machine, failing)("it is too slow", LATER)
    assert machine.wanted("2") is None, "the choice could not be put back"
    assert machine.wanted("3") == "3"
    assert machine.wanted("1") is None
    assert machine.wanted("2") == "2", "the choice was put back, and somebody chose it once more"


def test_a_start_after_a_failure_does_not_try_it_again() -> None:
    assert Activation(ROLLED_BACK).wanted("2") is None
    assert Activation(PUT_BACK).wanted("2") == "2"
