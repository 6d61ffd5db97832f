"""hostname.txt, the name from a serial number, and authorized_keys."""

from __future__ import annotations

import base64

import pytest
from edged_import import keys, names
from edged_import.texts import Refused
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edged.config.tables import DeviceTable
from edged.config.values import slug


def public_key(kind: str = "ssh-ed25519", comment: str = " me@laptop") -> str:
    blob = len(kind).to_bytes(4, "big") + kind.encode() + (32).to_bytes(4, "big") + bytes(range(32))
    return f"{kind} {base64.b64encode(blob).decode()}{comment}"


@pytest.mark.parametrize(("text", "name"), [("Porch-2\n", "porch-2"), ("# porch\n", None), ("", None), ("a", "a")])
def test_a_host_name(text, name):
    assert names.read("hostname.txt", text) == name


@pytest.mark.parametrize(
    ("text", "line"),
    [("-porch", 1), ("porch-", 1), ("porch.local", 1), ("ä", 1), ("a b", 1), ("x" * 64, 1), ("#\na\nb", 3)],
)
def test_what_is_no_host_name_is_refused(text, line):
    with pytest.raises(Refused) as refused:
        names.read("hostname.txt", text)
    assert refused.value.problems[0].line == line


@pytest.mark.parametrize("name", [*names.REFUSED, "Models"])
def test_a_name_that_means_something_else_is_refused_in_one_sentence(name):
    with pytest.raises(Refused, match="means something else to edged; choose another name"):
        names.read("hostname.txt", name)


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True) | st.sampled_from([*names.REFUSED, "a"]))
def test_what_is_a_name_for_a_board_is_one_for_its_device_and_the_other_way_round(name):
    try:
        device = DeviceTable(name=slug(name)).name
    except ValidationError:
        with pytest.raises(Refused):
            names.read("hostname.txt", name)
    else:
        assert names.read("hostname.txt", name) == name
        assert name.startswith(device)


@pytest.mark.parametrize(
    ("serial", "name"),
    [
        ("10000000abcdef01", "edged-abcdef01"),
        ("00000000ABCDEF01", "edged-abcdef01"),
        ("", "edged"),
        ("0000000000000000", "edged"),
        ("12345", "edged"),
    ],
)
def test_a_board_is_named_by_the_end_of_its_serial_number(serial, name):
    assert names.from_serial(serial) == name


def test_public_keys_are_taken_as_they_are():
    text = f"# laptop\n{public_key()}\n\n  {public_key('ssh-rsa', '')}  \n"
    assert keys.read("authorized_keys", text) == f"{public_key()}\n{public_key('ssh-rsa', '')}\n"


def test_no_key_is_no_key():
    assert keys.read("authorized_keys", "# nothing\n") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (public_key()[:40], "not whole"),
        (public_key("ssh-rsa").replace("ssh-rsa", "ssh-ed25519"), "not whole"),
        ("ssh-dss AAAA me", "expected a public key"),
        ("hello", "expected a public key"),
        ("ssh-ed25519", "not whole"),
        ("ssh-ed25519 !!! me", "not whole"),
    ],
)
def test_what_is_no_public_key_is_refused_with_its_line(text, sentence):
    with pytest.raises(Refused) as refused:
        keys.read("authorized_keys", f"{public_key()}\n{text}\n")
    (problem,) = refused.value.problems
    assert problem.line == 2
    assert sentence in problem.sentence


def test_a_private_key_is_named_once():
    kind = "OPENSSH PRIVATE KEY"
    text = f"-----BEGIN {kind}-----\nb3BlbnNzaC1rZXktdjEA\nAAAABG5vbmUAAAAE\n-----END {kind}-----\n"
    with pytest.raises(Refused) as refused:
        keys.read("authorized_keys", text)
    (problem,) = refused.value.problems
    assert (problem.line, "must never leave" in problem.sentence) == (1, True)
