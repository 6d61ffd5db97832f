"""Passwords in edged.toml: taken out of the text, and nothing else with them."""

from __future__ import annotations

import tomllib

import pytest
from edged_import.passwords import Split, split
from edged_import.texts import Refused

PLAIN = """[camera]
source = "v4l2:/dev/video0"
{camera}
[[rule]]
label = "cat"

[mqtt]
host = "broker"
username = "edged"
{mqtt}
"""


def test_a_password_becomes_a_credential_and_its_line_a_comment():
    text = PLAIN.format(camera="", mqtt='password = "hunter2"')
    parts = split("edged.toml", text)
    assert parts.passwords == {"mqtt-password": "hunter2"}
    assert parts.lines == {10}
    assert "hunter2" not in parts.plain
    assert len(parts.plain.split("\n")) == len(text.split("\n"))
    wanted = tomllib.loads(text)
    del wanted["mqtt"]["password"]
    assert tomllib.loads(parts.plain) == wanted


def test_both_passwords_are_found():
    parts = split("edged.toml", PLAIN.format(camera='password = "one"', mqtt='"password"   =   "two" # mine'))
    assert parts.passwords == {"camera-password": "one", "mqtt-password": "two"}
    assert parts.lines == {3, 10}


@pytest.mark.parametrize(
    "written", ['mqtt.password = "p#\\"=x"', 'mqtt . password = "p#\\"=x"', "mqtt.'password' = 'p#\"=x'"]
)
def test_dotted_keys_quotes_and_signs_are_toml(written):
    parts = split("edged.toml", f'{written}\nmqtt.host = "broker"\n')
    assert parts.passwords == {"mqtt-password": 'p#"=x'}
    assert tomllib.loads(parts.plain) == {"mqtt": {"host": "broker"}}


def test_a_table_with_nothing_but_a_password():
    parts = split("edged.toml", '[mqtt]\npassword = "x"\n')
    assert (parts.passwords, parts.lines) == ({"mqtt-password": "x"}, {2})


def test_a_password_like_line_elsewhere_is_left_alone():
    text = 'title = """\npassword = "not this"\n"""\n[mqtt]\npassword = "this"\n[other]\npassword = "nor this"\n'
    parts = split("edged.toml", text)
    assert parts.lines == {5}
    assert tomllib.loads(parts.plain) == {
        "title": 'password = "not this"\n',
        "mqtt": {},
        "other": {"password": "nor this"},
    }


def test_without_a_password_nothing_changes():
    text = PLAIN.format(camera="", mqtt="")
    assert split("edged.toml", text) == Split(text, {}, frozenset(), {"mqtt": 9})


def test_a_login_with_a_password_file_wants_no_credential():
    assert split("edged.toml", PLAIN.format(camera="", mqtt='password_file = "/x"')).logins == {}


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ('[mqtt]\nhost = "x\n', 2, "not valid TOML"),
        ("a = " + "[" * 100_000, 1, "nested too deep"),
        (
            'mqtt = { host = "x", password = "secret" }\n',
            None,
            'expected password = "..." on a line of its own below [mqtt]',
        ),
        ('[mqtt]\npassword = """\nsecret"""\n', None, "on a line of its own"),
        ("[mqtt]\npassword = 1234567\n", 2, "in quotes"),
        ('[mqtt]\npassword = ""\n', 2, "in quotes"),
        ('[mqtt]\npassword = "a\\nb"\n', 2, "on one line"),
        ('[camera]\npassword = "x"\npassword_file = "/y"\n', 2, "leave one of them out"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_never_repeated(text, line, sentence):
    with pytest.raises(Refused) as refused:
        split("edged.toml", text)
    (problem,) = refused.value.problems
    assert problem.line == line
    assert sentence in problem.sentence
    assert "secret" not in str(problem)
    assert "1234567" not in str(problem)
