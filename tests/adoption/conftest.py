"""What the tests of bare models share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adoption.commands import Commands
from tests.conftest import EMULATED

EVERYWHERE = {
    "test_an_export_of_teachable_machine",
    "test_an_order_that_cannot_be_known_is_asked_for",
    "test_logits_get_a_softmax",
    "test_a_region_is_what_the_detector_sees",
}


@pytest.fixture
def edged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Commands:
    """The command line, with nothing installed yet."""
    if EMULATED and request.function.__name__ not in EVERYWHERE:
        pytest.skip("every model is proven in a process of its own, which takes long under an emulator; a few are")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return Commands(tmp_path, capsys)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of the temporary place, whatever happened."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    assert list(place.iterdir()) == []
