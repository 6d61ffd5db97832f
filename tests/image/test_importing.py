"""What a start of the board takes from the card, keeps, takes off it and tells."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edged_import import board, names
from edged_import.card import Card
from edged_import.importing import FILES, Import
from edged_import.texts import Problem

from tests.image.test_names_and_keys import public_key

EXAMPLE = Path(__file__).parents[2] / "image/boot/edged-example.toml"
WIFI = "ssid = Home\r\npassword = correct horse\r\ncountry = DE\r\n"
CONFIG = '[camera]\nsource = "v4l2:/dev/video0"\n[[rule]]\nlabel = "cat"\n[mqtt]\nhost = "broker"\n'
LOGIN = f'{CONFIG}username = "edged"\npassword = "hunter2"\n'


class Started:
    """A board with a card, that can be started again and again.

    Attributes:
        card: the first partition.
        root: the board's own file system.
        mounts: what was asked of the mount: True to write, False no more.
        name: what the running system is called.
    """

    def __init__(self, folder: Path) -> None:
        self.card = folder / "card"
        self.root = folder / "root"
        self.mounts: list[bool] = []
        self.name = "edged"
        self.card.mkdir()
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/hostname").write_text("edged\n")

    def start(self, check: Callable[[Path, str], list[Problem]] = lambda _path, _name: []) -> list[str]:
        card = Card(self.card, self.mounts.append)
        problems = Import(card, self.root, check, self.set_name, lambda: "10000000abcdef01").run()
        card.tell(problems)
        return [str(problem) for problem in problems]

    def set_name(self, name: str) -> None:
        self.name = name

    def files(self) -> dict[str, bytes]:
        """Everything on the board and on the card."""
        places = ((self.root, "root"), (self.card, "card"))
        return {
            f"{name}/{path.relative_to(place)}": path.read_bytes()
            for place, name in places
            for path in place.rglob("*")
            if path.is_file()
        }

    def mode(self, path: str) -> int:
        return stat.S_IMODE((self.root / path).stat().st_mode)


@pytest.fixture
def started(tmp_path: Path) -> Started:
    return Started(tmp_path)


def test_a_whole_card_is_taken_over(started):
    (started.card / "edged.toml").write_text(LOGIN)
    (started.card / "wifi.txt").write_bytes(WIFI.encode("utf-8-sig"))
    (started.card / "hostname.txt").write_text("porch\n")
    (started.card / "authorized_keys").write_text(public_key())
    assert started.start() == []
    installed = (started.root / "etc/edged/edged.toml").read_text()
    assert installed.startswith(CONFIG)
    assert "hunter2" not in installed
    assert (started.root / "etc/edged/credentials/mqtt-password").read_text() == "hunter2\n"
    assert "\tssid=486f6d65" in (started.root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf").read_text()
    assert (started.root / "etc/hostname").read_text() == "porch\n"
    assert (started.root / "root/.ssh/authorized_keys").read_text() == f"{public_key()}\n"


def test_only_root_reads_secrets(started):
    (started.card / "edged.toml").write_text(LOGIN)
    (started.card / "wifi.txt").write_text(WIFI)
    (started.card / "authorized_keys").write_text(public_key())
    started.start()
    assert started.mode("etc/edged/credentials") == 0o700
    assert started.mode("etc/edged/credentials/mqtt-password") == 0o600
    assert started.mode("etc/wpa_supplicant/wpa_supplicant-wlan0.conf") == 0o600
    assert started.mode("root/.ssh") == 0o700
    assert started.mode("root/.ssh/authorized_keys") == 0o600
    assert started.mode("etc/edged/edged.toml") == 0o644


def test_no_secret_stays_on_the_card_and_everything_else_does(started):
    (started.card / "edged.toml").write_text(LOGIN)
    (started.card / "wifi.txt").write_text(WIFI)
    started.start()
    toml, wifi = ((started.card / name).read_bytes() for name in ("edged.toml", "wifi.txt"))
    assert b"hunter2" not in toml
    assert b"correct horse" not in wifi
    assert (len(toml), len(wifi)) == (len(LOGIN), len(WIFI))
    assert toml.startswith(CONFIG.encode())
    assert wifi.startswith(b"ssid = Home\r\n# password")
    assert started.mounts == [True, False] * 2


def test_a_second_start_changes_nothing_and_does_not_write(started):
    (started.card / "edged.toml").write_text(LOGIN)
    (started.card / "wifi.txt").write_text(WIFI)
    started.start()
    before, started.mounts = started.files(), []
    assert started.start(lambda _path, name: [Problem(name, 1, "is checked again")]) == []
    assert (started.files(), started.mounts) == (before, [])


def test_what_a_person_changed_on_the_board_stays_until_the_card_changes(started):
    (started.card / "edged.toml").write_text(CONFIG)
    started.start()
    (started.root / "etc/edged/edged.toml").write_text("changed over SSH")
    started.start()
    assert (started.root / "etc/edged/edged.toml").read_text() == "changed over SSH"
    (started.card / "edged.toml").write_text(CONFIG + "port = 1884\n")
    started.start()
    assert "port = 1884" in (started.root / "etc/edged/edged.toml").read_text()


def test_a_password_stays_when_the_configuration_changes(started):
    (started.card / "edged.toml").write_text(LOGIN)
    started.start()
    left = (started.card / "edged.toml").read_text()
    (started.card / "edged.toml").write_text(left.replace('"broker"', '"other"'))
    assert started.start() == []
    assert (started.root / "etc/edged/credentials/mqtt-password").read_text() == "hunter2\n"
    assert 'host = "other"' in (started.root / "etc/edged/edged.toml").read_text()


def test_a_wrong_configuration_is_left_alone_and_the_old_one_holds(started):
    (started.card / "edged.toml").write_text(CONFIG)
    started.start()
    before = started.files()
    (started.card / "edged.toml").write_text(LOGIN.replace("[[rule]]", "[[rule]"))
    assert started.start()[0].startswith("edged.toml, line 3: not valid TOML")
    told = (started.card / "edged-error.txt").read_bytes()
    assert b"* edged.toml, line 3: not valid TOML" in told
    assert told.count(b"\r\n") == told.count(b"\n")
    after = started.files()
    assert {name: after[name] for name in before if name.startswith("root/")} == {
        name: data for name, data in before.items() if name.startswith("root/")
    }
    assert b"hunter2" in after["card/edged.toml"]


def test_the_error_vanishes_when_all_is_well_and_is_not_written_twice(started):
    (started.card / "edged.toml").write_text("[mqtt")
    started.start()
    assert started.mounts == [True, False]
    started.start()
    assert started.mounts == [True, False]
    (started.card / "edged.toml").write_text(CONFIG)
    assert started.start() == []
    assert not (started.card / "edged-error.txt").exists()


def test_one_wrong_file_does_not_hold_up_the_others(started):
    (started.card / "wifi.txt").write_text("ssid = Home\npassword = correct horse\n")
    (started.card / "authorized_keys").write_text("nonsense\n")
    (started.card / "hostname.txt").write_bytes(b"\xff\n")
    (started.card / "edged.toml").write_text(CONFIG)
    problems = started.start()
    assert [problem.split(":")[0] for problem in problems] == [
        "hostname.txt, line 1",
        "wifi.txt",
        "authorized_keys, line 1",
    ]
    assert (started.root / "etc/edged/edged.toml").read_text() == CONFIG
    assert not (started.root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf").exists()
    assert (started.root / "etc/hostname").read_text() == "edged-abcdef01\n"


def test_a_login_without_a_password_is_said(started):
    (started.card / "edged.toml").write_text(f'{CONFIG}username = "edged"\n')
    (problem,) = started.start()
    assert problem.startswith("edged.toml, line 7: mqtt.username: the board has no password for it")
    assert not (started.root / "etc/edged/edged.toml").exists()


def test_an_empty_card_is_told_what_to_do_and_a_board_that_has_all_is_not(started):
    (problem,) = started.start()
    assert "copy edged-example.toml to edged.toml" in problem
    (started.root / "etc/edged").mkdir()
    (started.root / "etc/edged/edged.toml").write_text(CONFIG)
    assert started.start() == []


def test_the_name_comes_from_the_serial_number_once(started):
    started.start()
    assert (started.root / "etc/hostname").read_text() == "edged-abcdef01\n"
    (started.root / "etc/hostname").write_text("kitchen\n")
    started.start()
    assert (started.root / "etc/hostname").read_text() == "kitchen\n"


def test_a_card_that_cannot_be_written_keeps_the_secret_and_all_else_goes_on(started):
    (started.card / "edged.toml").write_text(LOGIN)
    (started.card / "wifi.txt").write_text(WIFI)

    def refuse(writable: bool) -> None:
        raise OSError("the card is read-only")

    importing = Import(Card(started.card, refuse), started.root, lambda _path, _name: [], started.set_name, str)
    problems = [str(problem) for problem in importing.run()]
    assert ["could not be taken over (the card is read-only)" in problem for problem in problems] == [True, True]
    assert (started.root / "etc/edged/credentials/mqtt-password").read_text() == "hunter2\n"
    assert b"hunter2" in (started.card / "edged.toml").read_bytes()


@pytest.mark.parametrize(("named", "name"), [("porch\n", "porch"), (None, "edged-abcdef01")])
def test_the_board_has_its_name_before_its_configuration_is_checked(started, named, name):
    if named is not None:
        (started.card / "hostname.txt").write_text(named)
    (started.card / "edged.toml").write_text(CONFIG)
    called = []
    assert started.start(lambda _path, _name: called.append(started.name) or []) == []
    assert called == [name]


@pytest.mark.parametrize("name", names.REFUSED)
def test_a_name_that_would_end_the_daemon_is_refused_also_when_it_alone_has_changed(started, name):
    (started.card / "hostname.txt").write_text("porch\n")
    (started.card / "edged.toml").write_text(CONFIG)
    assert started.start() == []
    (started.card / "hostname.txt").write_text(f"{name}\n")
    for _ in range(2):
        (problem,) = started.start()
        assert problem.startswith(f"hostname.txt, line 1: {name} means something else")
        assert (started.root / "etc/hostname").read_text() == "porch\n"
        assert started.name == "porch"
        assert name.encode() in (started.card / "edged-error.txt").read_bytes()


def test_a_name_that_cannot_be_set_is_told_and_all_else_goes_on(started):
    (started.card / "edged.toml").write_text(CONFIG)

    def refuse(_name: str) -> None:
        raise OSError("not permitted")

    importing = Import(Card(started.card, started.mounts.append), started.root, lambda _p, _n: [], refuse, str)
    (problem,) = importing.run()
    assert str(problem).startswith("hostname.txt: the board's name could not be set (not permitted)")
    assert (started.root / "etc/edged/edged.toml").read_text() == CONFIG


@pytest.mark.parametrize(
    ("found", "name"),
    [
        *((f"{name}.txt", name) for name in FILES),
        *(("edged.txt", "edged.toml"), ("edged", "edged.toml"), ("edged.toml.toml", "edged.toml")),
        *(("Edged.TOML.txt", "edged.toml"), ("edged (1).toml", "edged.toml"), ("edged .toml", "edged.toml")),
        *(("wifi", "wifi.txt"), ("wifi.toml.txt", "wifi.txt"), ("wi-fi.txt", "wifi.txt"), ("WiFi.rtf", "wifi.txt")),
        *(("hostname", "hostname.txt"), ("host_name.toml", "hostname.txt")),
        *(("authorized_keys.pub", "authorized_keys"), ("authorised-keys", "authorized_keys")),
    ],
)
def test_a_name_that_is_nearly_one_is_told(started, found, name):
    (started.card / "edged.toml").write_text(CONFIG)
    (started.card / found).write_text("# whatever it says\n")
    (problem,) = started.start()
    assert problem.startswith(f"{found}: is not read; expected a plain text called {name}: rename it, or delete it (")
    assert f"* {found}".encode() in (started.card / "edged-error.txt").read_bytes()
    (started.card / found).unlink()
    assert started.start() == []
    assert not (started.card / "edged-error.txt").exists()


def test_what_else_is_on_the_card_is_nobodys_misnomer(started):
    (started.card / "edged.toml").write_text(CONFIG)
    others = ["edged-example.toml", "edged.toml.bak", "edged.toml~", "._edged.toml", "config.txt", "cmdline.txt"]
    for name in [*others, *("edged.deb", "wpa_supplicant.conf", "vendor-data", "user-data", "network-config")]:
        (started.card / name).touch()
    (started.card / "edged").mkdir()
    assert started.start() == []
    assert started.start() == [], "nor is edged-error.txt"


@pytest.mark.parametrize("found", ["Edged.TOML", "EDGED.TOML"])
def test_the_case_of_a_name_is_as_nothing_as_on_fat(started, found):
    text = CONFIG + 'username = "porch"\npassword = "hunter2"\n'
    (started.card / found).write_text(text)
    assert started.start() == []
    assert (started.root / "etc/edged/credentials/mqtt-password").read_text() == "hunter2\n"
    assert b"hunter2" not in (started.card / found).read_bytes()
    assert [path.name for path in started.card.iterdir()] == [found]


def test_a_first_configuration_with_a_longer_name_is_one_thing_to_do(started):
    (started.card / "edged.toml.txt").write_text(CONFIG)
    (problem,) = started.start()
    assert problem.startswith("edged.toml.txt: is not read; expected a plain text called edged.toml")


def test_only_files_that_are_looked_for_are_told_of(started):
    (started.card / "hostname.txt.txt").touch()
    (started.card / "edged.toml").write_text(CONFIG)
    card = Card(started.card, started.mounts.append)
    assert Import(card, started.root, lambda _path, _name: [], started.set_name, str).run(["edged.toml"]) == []
    assert started.name == "edged"


@pytest.mark.parametrize("reached", ["nothing", "password", "configuration", "card"])
def test_a_power_cut_at_any_step_loses_nothing(started, reached):
    """A cut leaves what was done before it; the next start ends where an undisturbed one does."""
    (started.card / "edged.toml").write_text(LOGIN)
    started.start()
    done = started.files()
    (started.root / "var/lib/edged-import/edged.toml.sha256").unlink()
    if reached != "card":
        (started.card / "edged.toml").write_text(LOGIN)
        if reached != "configuration":
            (started.root / "etc/edged/edged.toml").unlink()
            if reached != "password":
                (started.root / "etc/edged/credentials/mqtt-password").unlink()
    assert started.start() == []
    assert started.files() == done


@pytest.fixture
def edged_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if shutil.which("edged") is None:
        pytest.skip("edged is not installed beside this Python")


@pytest.mark.usefixtures("edged_on_path")
def test_the_example_on_the_card_passes_the_real_check(started):
    text = EXAMPLE.read_text().replace("#username", "username").replace("#password", "password")
    (started.card / "edged.toml").write_text(text)
    assert started.start(board.check) == []
    assert (started.root / "etc/edged/credentials/mqtt-password").read_text() == "secret\n"
    assert [path.name for path in (started.root / "etc/edged").iterdir() if path.name.startswith(".")] == []


@pytest.mark.usefixtures("edged_on_path")
def test_the_real_check_says_the_line_in_the_file_on_the_card(started):
    (started.card / "edged.toml").write_bytes(LOGIN.replace("label", "lable").replace("\n", "\r\n").encode("utf-8-sig"))
    problems = started.start(board.check)
    assert "edged.toml, line 4: rule[1].lable: unknown key; did you mean label?" in problems
    assert all(problem.startswith("edged.toml, line ") for problem in problems)
    assert not any(".import" in problem or "hunter2" in problem for problem in problems)
    assert not (started.root / "etc/edged/credentials").exists()
