"""What a version has to be before it may take over, with real models and a real store; and what is on the disk then."""

from __future__ import annotations

import fcntl
import json
import math
import os
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from edged import activating, stock
from edged.config import load as load_config
from edged.core import activation
from edged.core.activation import Record
from edged.core.errors import ModelError
from edged.core.stats import Ring
from edged.keeping import Keeper
from edged.modelstore import remembered
from edged.stock import Stock
from tests import versions
from tests.daemon import write_config
from tests.fakes import FakeClock, until
from tests.scenes import flat, write_picture

RULES = [{"label": "circle"}, {"label": "round", "name": "ring"}]


class Memory:
    """A process without vitals but for its memory."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.asked_mb: list[float] = []
        self.meanwhile = lambda: None

    def memory_trouble(self, more_mb: float = 0.0) -> str | None:
        self.asked_mb.append(more_mb)
        self.meanwhile()
        return self.trouble


class Place:
    def __init__(self, folder, lines):
        write_picture(folder / "a.png", flat(90))
        config = write_config(folder / "e.toml", f"file:{folder / 'a.png'}", 1883, "p", RULES)
        text = config.read_text(encoding="utf-8").replace("threads = 1", "\n".join(("threads = 1", *lines)))
        config.write_text(text, encoding="utf-8")
        self.root, self.memory = folder / "state", Memory()
        for version in ("2.0.0", "3.0.0"):
            versions.put(self.root, folder / "made", version)
        self.config = load_config(config)
        self.stock = Stock(
            self.config, self.root, versions.NAME, ("circle", "round"), Ring(10), self.memory, FakeClock()
        )
        remembered.remember(self.root / "models", versions.NAME, "1.0.0")
        self.stock.keep(self.settled("1.0.0"))

    def settled(self, version):
        return Record("settled", versions.NAME, version, None, None, FakeClock().label(0.0))

    @property
    def chosen(self):
        choice = remembered.read(self.root / "models")[versions.NAME]
        return choice.version, choice.previous

    @property
    def record(self):
        return activation.read(json.loads((self.root / "test" / "activation.json").read_text()))


@pytest.fixture
def place(tmp_path, request):
    return Place(tmp_path, getattr(request, "param", ()))


def test_what_is_prepared_is_chosen_and_on_probation(place):
    occupant = place.stock.prepare("2.0.0", "1.0.0", None)
    assert (occupant.spec.version, occupant.threads) == ("2.0.0", 1)
    assert occupant.limits == activation.Limits(120.0, 100.0)
    assert [region.name for region in occupant.regions] == ["full"]
    assert place.chosen == ("2.0.0", "1.0.0")
    assert (place.record.phase, place.record.version, place.record.previous) == ("probation", "2.0.0", "1.0.0")
    assert place.memory.asked_mb[0] > 0.0, "before it is loaded"


def refused(place, version, fragment):
    before = place.chosen, place.record
    with pytest.raises(ModelError, match=fragment):
        place.stock.prepare(version, "1.0.0", None)
    assert (place.chosen, place.record) == before, "nothing has changed"


def test_what_does_not_fit_into_memory_is_refused(place):
    place.memory.trouble = "with it the process takes 300 MB of memory"
    refused(place, "2.0.0", "300 MB")


@pytest.mark.parametrize("place", [("budget_ms = 0.01",)], indirect=True)
def test_what_is_slower_than_its_budget_is_refused(place):
    refused(place, "2.0.0", r"there are 0\.01 ms for one")


def test_the_rules_are_asked_before_anything_of_it_runs(place):
    def broken(told):
        told["inputs"][0]["top"][0]["score"] = 0.0

    def renamed(text):
        return text.replace("circle", "disc")

    versions.put(place.root, place.root.parent / "made", "4.0.0", golden=broken, labels=renamed, text=renamed)
    refused(place, "4.0.0", "does not fit the rules: rule circle")
    with pytest.raises(ModelError, match="does not fit the rules"):
        Keeper(place.config, place.root).use(f"{versions.NAME}@4.0.0")


def test_what_is_not_there_is_refused(place):
    refused(place, "9.0.0", "there is no version")


def test_a_folder_that_cannot_be_written_is_no_way_back(place):
    path = place.root / "test" / "activation.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelError, match="no way back"):
        place.stock.prepare("2.0.0", "1.0.0", None)
    assert place.chosen == ("1.0.0", None)


def test_who_chooses_another_one_meanwhile_wins(place):
    place.memory.meanwhile = lambda: remembered.remember(place.root / "models", versions.NAME, "3.0.0")
    with pytest.raises(ModelError, match=r"3\.0\.0 was chosen meanwhile"):
        place.stock.prepare("2.0.0", "1.0.0", None)
    assert place.chosen[0] == "3.0.0"
    assert place.record == place.settled("1.0.0")


def test_a_failure_is_written_down_and_the_choice_put_back_unless_it_is_another(place):
    place.stock.prepare("2.0.0", "1.0.0", None)
    failure = activation.failed(place.record, "rolled_back", "it is too slow", FakeClock().label(0.0))
    assert place.stock.put_back(failure).is_put_back
    assert (place.chosen, place.record.phase, place.record.is_put_back) == (("1.0.0", "2.0.0"), "rolled_back", True)
    remembered.remember(place.root / "models", versions.NAME, "3.0.0")
    place.stock.put_back(failure)
    assert place.chosen[0] == "3.0.0"


def test_what_would_come_back_is_not_removed(place):
    keeper = Keeper(None, place.root)
    remembered.remember(place.root / "models", versions.NAME, "2.0.0")
    place.stock.prepare("3.0.0", "2.0.0", None)
    with pytest.raises(ModelError, match=r"shapes-int8@2\.0\.0 would come back"):
        keeper.remove(f"{versions.NAME}@2.0.0")
    place.stock.keep(place.settled("3.0.0"))
    assert [path.name for path in keeper.remove(f"{versions.NAME}@2.0.0")] == [f"{versions.NAME}@2.0.0"]


def test_a_clean_end_is_written_down_and_nothing_afterwards(place):
    place.stock.leave()
    assert place.record == place.settled("1.0.0")
    with pytest.raises(ModelError):
        place.stock.prepare("2.0.0", "1.0.0", None)
    assert place.chosen == ("1.0.0", None)
    other = Stock(place.config, place.root, versions.NAME, ("circle",), Ring(10), place.memory, FakeClock())
    other.prepare("2.0.0", "1.0.0", None)
    other.leave()
    assert (place.record.phase, place.record.is_left) == ("probation", True)


@pytest.mark.timeout(60)
def test_an_end_waits_for_nobody_who_is_at_work_in_the_store(place):
    before = place.record
    descriptor = os.open(place.root / "models", os.O_RDONLY)
    refusals = []

    def prepare():
        with pytest.raises(ModelError) as error:
            place.stock.prepare("2.0.0", "1.0.0", None)
        refusals.append(str(error.value))

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        at_work = threading.Thread(target=prepare, daemon=True)
        at_work.start()
        until(lambda: place.record.phase == "probation")
        ending = threading.Thread(target=place.stock.leave, daemon=True)
        ending.start()
        until(lambda: not ending.is_alive())
    finally:
        os.close(descriptor)
    at_work.join()
    assert "the model store cannot be written" in refusals[0]
    assert (place.chosen, place.record) == (("1.0.0", None), before)


def test_what_there_is(place):
    assert place.stock.changed()
    assert not place.stock.changed()
    assert place.stock.look() == stock.Choices("1.0.0", "3.0.0")
    remembered.remember(place.root / "models", versions.NAME, "2.0.0")
    assert place.stock.changed()
    Keeper(None, place.root).remove(f"{versions.NAME}@3.0.0")
    assert place.stock.changed()
    assert place.stock.look() == stock.Choices("2.0.0", "2.0.0")
    remembered.remember(place.root / "models", versions.NAME, "8.0.0")
    assert place.stock.look().chosen is None, "what is not there is no choice"


def test_a_start_measures_how_fast_the_version_before_is(place):
    record = Record("probation", versions.NAME, "3.0.0", "2.0.0", None, FakeClock().label(0.0))
    fitted = SimpleNamespace(package=None, spec=None, regions=(1,) * 100_000, record=record)
    found = activating.occupant(place.config, fitted, None, 1, None, place.root)
    assert 1e-3 < found.limits.p95_ms < 1e4, "there is no time left by the frame rate"
    gone = SimpleNamespace(**vars(fitted) | {"record": replace(record, previous="9.0.0")})
    assert activating.occupant(place.config, gone, None, 1, None, place.root).limits.p95_ms == math.inf
    settled = SimpleNamespace(**vars(fitted) | {"record": place.settled("3.0.0")})
    assert activating.occupant(place.config, settled, None, 1, None, place.root).limits.p95_ms == pytest.approx(1e-3)


def test_a_board_that_is_too_slow_for_its_frame_rate_takes_what_is_not_much_slower(place):
    config = place.config
    assert stock.limits(config, 1, None).p95_ms == 100.0
    assert stock.limits(config, 4, None).p95_ms == 25.0
    assert stock.limits(config, 1, 200.0).p95_ms == 300.0
    assert stock.limits(config, 1, 20.0).p95_ms == 100.0
