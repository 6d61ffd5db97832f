"""How the last run ended: its own words first, systemd's where it had none, and never anything else."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.core import last_exit
from edged.core.errors import CameraHung, ConfigError, EdgedError, ModelError, RunError
from edged.core.last_exit import MAX_REASON, OPEN, UNTOLD, read, refined

KNOWN = re.compile(
    r"killed, or the power went|the watchdog: no finished turn for 30 s|out of memory: the kernel ended it"
    r"|systemd's time for it to start or to stop was over|it ended with exit code \d{1,3} and could not say why"
    r"|killed \(SIGKILL\): by hand, or by the kernel because memory ran out|aborted \(SIGABRT\)"
    r"|(crashed|ended by a signal) \(SIG[A-Z]{3,4}[12]?\)|stopped"
)


def reason(result: str | None, watchdog_s: float | None = 30.0) -> Any:
    return refined(dict(OPEN), result, watchdog_s)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("watchdog dumped ABRT", "the watchdog: no finished turn for 30 s"),
        ("watchdog killed KILL", "the watchdog: no finished turn for 30 s"),
        ("oom-kill killed KILL", "out of memory: the kernel ended it"),
        ("signal killed KILL", "killed (SIGKILL): by hand, or by the kernel because memory ran out"),
        ("signal killed ABRT", "aborted (SIGABRT)"),
        ("core-dump dumped SEGV", "crashed (SIGSEGV)"),
        ("signal killed USR1", "ended by a signal (SIGUSR1)"),
        ("timeout killed KILL", "systemd's time for it to start or to stop was over"),
    ],
)
def test_what_systemd_saw_is_told_in_words(result: str, words: str) -> None:
    assert reason(result) == {"code": None, "reason": words}


def test_a_watchdog_whose_time_is_not_known_is_told_all_the_same() -> None:
    assert reason("watchdog killed ABRT", None)["reason"] == "the watchdog: no finished turn in its time"


def test_a_stop_by_hand_that_could_not_be_written_down_is_told() -> None:
    assert reason("success exited 0") == {"code": 0, "reason": "stopped"}


def test_an_exit_that_wrote_nothing_has_its_code() -> None:
    assert reason("exit-code exited 1") == {"code": 1, "reason": "it ended with exit code 1 and could not say why"}


@pytest.mark.parametrize(
    "result",
    [
        None,
        "",
        "success exited 1",
        "success killed TERM",
        "exit-code exited 78",
        "exit-code exited 0",
        "exit-code exited ²",
        "protocol exited 1",
        "signal killed <script>",
        "watchdog",
        "watchdog killed ABRT and more",
        "edged/porch/secret oom-kill KILL",
    ],
)
def test_what_says_nothing_or_is_no_line_of_systemd_leaves_the_reason_open(result: str | None) -> None:
    assert reason(result) == OPEN


fields = st.sampled_from(
    [
        "success",
        "exited",
        "0",
        "watchdog",
        "oom-kill",
        "signal",
        "core-dump",
        "timeout",
        "exit-code",
        "KILL",
        "SEGV",
        "HUP",
    ]
)


@given(st.lists(fields | st.text(string.printable, max_size=20), max_size=4).map(" ".join))
def test_nothing_of_the_file_goes_out_but_words_of_the_table(result: str) -> None:
    assert KNOWN.fullmatch(reason(result)["reason"])


@pytest.mark.parametrize("own", [{"code": 0, "reason": "stopped"}, {"code": 1, "reason": "memory: …"}, None])
def test_what_a_process_wrote_itself_is_never_overwritten(own: dict[str, Any] | None) -> None:
    assert refined(own, "watchdog killed ABRT", 30.0) == own


@pytest.mark.parametrize("kept", [{}, {"code": "1", "reason": "x"}, {"code": 1}, {"code": 1, "reason": ["x"]}])
def test_a_damaged_file_says_nothing(kept: dict[str, Any]) -> None:
    assert read(kept) is None


def test_only_code_and_reason_are_read_and_the_reason_is_bounded() -> None:
    assert read({"code": 1, "reason": "x" * 1000, "path": "/home"}) == {"code": 1, "reason": "x" * MAX_REASON}


PRIVATE = [
    "/var/lib/edged/models/cat/model.tflite: there is no such file",
    "Could not open '/srv/model.tflite'.",
    "cat/model.tflite: the runtime cannot load it",
    "mqtt://user:pw@broker.lan refused",
    "anna@camera does not answer",
    r"C:\models are elsewhere",
    "192.168.1.20 does not answer",
    "fe80::1 does not answer",
]


@pytest.mark.parametrize("text", PRIVATE)
@pytest.mark.parametrize("kind", [RunError, ModelError, ConfigError, CameraHung])
def test_no_error_takes_a_path_or_an_address_along(kind: type[EdgedError], text: str) -> None:
    told = last_exit.reason(kind(text))
    assert told.endswith(f"; {UNTOLD}")
    assert read({"code": 1, "reason": told}) == {"code": 1, "reason": told}


@pytest.mark.parametrize("text", PRIVATE)
def test_nor_does_a_file_that_somebody_wrote(text: str) -> None:
    assert read({"code": 1, "reason": text}) == {"code": 1, "reason": UNTOLD}
    assert read({"code": 1, "reason": "x" * MAX_REASON + text}) == {"code": 1, "reason": UNTOLD}


@pytest.mark.parametrize(
    "text",
    [
        "memory: the process takes 300 MB (it began with 61 MB); more than 256 ends it",
        "the network thread has ended by itself twice within 600 s: restarting",
        "the camera's driver has not returned from one call for 60 s: restarting",
        "the output is not a number",
    ],
)
def test_what_ends_a_run_has_its_own_sentence(text: str) -> None:
    told = last_exit.reason(RunError(text))
    assert told == text
    assert read({"code": 1, "reason": told}) == {"code": 1, "reason": text}


def test_an_accident_has_its_name_alone() -> None:
    assert last_exit.reason(OSError(2, "No such file", "/etc/secret")) == "FileNotFoundError"
