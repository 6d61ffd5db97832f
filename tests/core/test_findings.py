"""The table of `edged doctor`: what it comes to, and its form as JSON."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from edged.core import findings
from edged.core.findings import CHECKS, STATUSES, Finding, ok, problem, trouble, unavailable, warning

ALL = (
    ok("camera", "delivers"),
    warning("clock", "not set", "wait"),
    problem("broker", "refused", "log in"),
    unavailable("power", "no driver"),
)


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files("edged") / "schema" / "doctor.json").read_text(encoding="utf-8"))
    return loaded


def test_a_problem_makes_it_unsound_and_a_warning_does_not() -> None:
    assert findings.is_sound(())
    assert findings.is_sound((ALL[0], ALL[1], ALL[3]))
    assert not findings.is_sound(ALL)


@pytest.mark.parametrize(
    ("those", "said"),
    [
        ((), "no problem"),
        (ALL[:1], "no problem"),
        (ALL, "1 problem, 1 warning"),
        (ALL * 2, "2 problems, 2 warnings"),
        (ALL[1:2], "1 warning"),
    ],
)
def test_the_last_line_counts(those: tuple[Finding, ...], said: str) -> None:
    assert findings.summary(those) == said


def test_a_sentence_is_parted_where_the_advice_begins() -> None:
    assert trouble("broker", "it is refused; check the login", "?") == problem(
        "broker", "it is refused", "check the login"
    )
    assert trouble("broker", "no host: Connection refused", "check it") == problem(
        "broker", "no host: Connection refused", "check it"
    )
    assert trouble("camera", "there is none: plug it in", "?", ": ") == problem("camera", "there is none", "plug it in")


def test_the_object_is_as_its_schema_says() -> None:
    made = json.loads(json.dumps(findings.as_object("1.2.3", "/etc/edged/edged.toml", ALL)))
    of = schema()
    jsonschema.Draft202012Validator.check_schema(of)
    jsonschema.Draft202012Validator(of).validate(made)
    assert list(made) == of["required"] == list(of["properties"])
    line = of["properties"]["findings"]["items"]
    for one in made["findings"]:
        assert list(one) == line["required"] == list(line["properties"])
    assert made["sound"] is False
    assert made["findings"][0]["advice"] is None
    assert [one["status"] for one in made["findings"]] == list(STATUSES)


def test_the_schema_has_every_word_and_says_what_each_key_is() -> None:
    line = schema()["properties"]["findings"]["items"]["properties"]
    assert line["check"]["anyOf"][0]["enum"] == list(CHECKS)
    assert line["status"]["anyOf"][0]["enum"] == list(STATUSES)
    assert all(one["description"] for one in (*schema()["properties"].values(), *line.values()))
