"""Where the events are kept: what edged may write to, what it must not touch, and that `check` says so before `run`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edged import app, parts
from edged.cli import main
from edged.config import Config, load
from edged.core.errors import ConfigError
from edged.edges.outbox_fallback import DurableOutbox
from edged.edges.outbox_schema import FORMAT
from edged.edges.state_folder import StateFolder
from tests.fakes import FakeClock
from tests.outboxes import NOW_S, start
from tests.scenes import flat, write_picture

TEXT = """
[device]
name = "porch"
[camera]
source = "file:{picture}"
[model]
name = "shapes-int8"
[[rule]]
label = "circle"
[mqtt]
host = "127.0.0.1"
[outbox]
path = "{path}"
"""


@pytest.fixture
def state(tmp_path, monkeypatch) -> StateFolder:
    """The device's folder."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return StateFolder(tmp_path / "state" / "porch")


def configured(tmp_path: Path, path: object) -> Config:
    picture = tmp_path / "a.png"
    if not picture.exists():
        write_picture(picture, flat(90))
    file = tmp_path / "e.toml"
    file.write_text(TEXT.format(picture=picture, path=path), encoding="utf-8")
    return load(file)


def opened(config: Config, state: StateFolder) -> DurableOutbox:
    return parts.outbox(config, state, FakeClock(NOW_S), app.fit(config).spec)


def refusal(config: Config, state: StateFolder) -> str:
    """The sentence, which must be the same before the start and at it."""
    with pytest.raises(ConfigError) as before:
        app.fit(config)
    (sentence,) = before.value.problems
    spec = app.open_model("shapes-int8", 1)[2]
    with pytest.raises(ConfigError) as at_start:
        parts.outbox(config, state, FakeClock(NOW_S), spec)
    assert at_start.value.problems == (sentence,)
    place, _, rest = sentence.partition(": outbox.path: ")
    assert place == f"{config.path}:13"
    return rest


def database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("content", [b"my only copy\n", b"", bytes(8192), b"SQLite format 3\0" + bytes(84)])
def test_a_file_of_somebody_else_is_refused_and_stays(tmp_path, state, content):
    precious = tmp_path / "precious.txt"
    precious.write_bytes(content)
    assert "found a" in refusal(configured(tmp_path, precious), state)
    assert precious.read_bytes() == content
    assert not list(tmp_path.glob("precious.corrupt-*"))


def test_a_link_out_of_the_folder_is_somebody_elses_too(tmp_path, state):
    (tmp_path / "precious.txt").write_bytes(b"my only copy\n")
    state.path.mkdir(parents=True)
    (state.path / "outbox.db").symlink_to(tmp_path / "precious.txt")
    assert "found a file that is none" in refusal(configured(tmp_path, "outbox.db"), state)


@pytest.mark.parametrize("inside", [True, False])
def test_a_database_of_another_program_is_refused_everywhere(tmp_path, state, inside):
    state.path.mkdir(parents=True)
    path = (state.path if inside else tmp_path) / "other.db"
    database(path, "CREATE TABLE states (state TEXT)")
    assert "a database of another program" in refusal(configured(tmp_path, path), state)


@pytest.mark.parametrize("inside", [True, False])
def test_an_outbox_of_a_newer_edged_is_refused_before_the_start(tmp_path, state, inside):
    config = configured(tmp_path, "outbox.db" if inside else tmp_path / "outbox.db")
    opened(config, state).close()
    path = (state.path if inside else tmp_path) / "outbox.db"
    database(path, f"PRAGMA user_version = {FORMAT + 1}")
    assert f"found format {FORMAT + 1} of a newer edged" in refusal(config, state)


def test_check_ends_with_78_for_it(tmp_path, state, capsys):
    (tmp_path / "precious.txt").write_bytes(b"my only copy\n")
    config = configured(tmp_path, tmp_path / "precious.txt")
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(config.path)])
    assert ended.value.code == 78
    assert capsys.readouterr().err.startswith(f"{config.path}:13: outbox.path: expected an event store of edged")


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("head", [bytes(4096), b""])
def test_what_a_power_cut_left_of_our_own_is_replaced(tmp_path, state, inside, head):
    """Also elsewhere: edged remembers where it made a store, since the store itself may not be able to say so."""
    config = configured(tmp_path, "outbox.db" if inside else tmp_path / "outbox.db")
    box = opened(config, state)
    box.append([start()])
    box.close()
    path = (state.path if inside else tmp_path) / "outbox.db"
    path.write_bytes(head + path.read_bytes()[4096:] if head else b"")
    again = opened(config, state)
    assert list(again.problems) == ["outbox_damaged"]
    assert again.log != box.log
    again.close()
    assert len(list(path.parent.glob("outbox.corrupt-*"))) == 1


def test_a_store_elsewhere_is_known_again_without_the_memory_of_it(tmp_path, state):
    config = configured(tmp_path, tmp_path / "events.db")
    box = opened(config, state)
    box.close()
    for file in state.path.iterdir():
        file.unlink()
    again = opened(config, state)
    assert (again.log, again.problems) == (box.log, {})
    again.close()


@pytest.mark.parametrize("name", ["settings.json", "last_exit.json", "outbox.json", "/var/lib/edged/threads.json"])
def test_the_names_of_the_state_folder_are_taken(tmp_path, name):
    with pytest.raises(ConfigError, match=r":13: outbox\.path: has the name of a file of settings; allowed: another"):
        configured(tmp_path, name)
