"""What the tests of bare models share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adoption.commands import Commands


@pytest.fixture
def edged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """The command line, with nothing installed yet."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return Commands(tmp_path, capsys)
