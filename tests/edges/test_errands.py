"""Work beside the loop: one after the other, and handed over where it was asked for."""

from __future__ import annotations

import threading

import pytest

from edged.core.errors import ModelError
from edged.edges.errands import Errands
from tests.fakes import until


def finish(errands: Errands) -> None:
    def done() -> bool:
        errands.turn()
        return errands.idle

    until(done)


def test_they_are_done_elsewhere_one_after_the_other_and_handed_over_here() -> None:
    errands, told, at_work = Errands(), [], []

    def work(number: int) -> tuple[int, int]:
        at_work.append(number)
        assert at_work == [number], "one at a time"
        at_work.remove(number)
        return number, threading.get_ident()

    for number in range(5):
        errands.add(
            "some", lambda number=number: work(number), lambda found: told.append((found, threading.get_ident()))
        )
    finish(errands)
    here = threading.get_ident()
    assert [found[0] for found, _ in told] == [0, 1, 2, 3, 4]
    assert all(there != here == handed for (_, there), handed in told)


def test_nothing_is_handed_over_before_the_next_turn() -> None:
    errands, told, gate = Errands(), [], threading.Event()
    errands.add("some", gate.wait, told.append)
    errands.turn()
    assert not errands.idle
    gate.set()
    finish(errands)
    assert told == [True]


def test_an_error_of_our_own_is_a_result_and_any_other_ends_the_loop() -> None:
    errands, told = Errands(), []

    def refuse() -> None:
        raise ModelError("it is damaged")

    errands.add("some", refuse, told.append)
    finish(errands)
    assert str(told[0]) == "it is damaged"
    errands.add("some", lambda: 1 // 0, told.append)
    with pytest.raises(ZeroDivisionError):
        finish(errands)


def test_at_the_end_what_waits_is_dropped() -> None:
    errands, done, gate = Errands(), [], threading.Event()
    errands.add("some", lambda: gate.wait(10), done.append)
    errands.add("more", lambda: done.append("more"), done.append)
    gate.set()
    errands.end(10.0)
    assert done == []
