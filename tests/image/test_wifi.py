"""wifi.txt, and what wpa_supplicant reads."""

from __future__ import annotations

import pytest
from edged_import.texts import Refused
from edged_import.wifi import Wifi, read, supplicant

# IEEE 802.11i, annex H.4.1: the test vectors for a pass phrase.
IEEE_KEY = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"


def test_a_network_is_read_and_its_password_becomes_a_key():
    found = read("wifi.txt", "# mine\nssid = IEEE\npassword = password\ncountry = de\n")
    assert found == Wifi(b"IEEE", IEEE_KEY, "DE", hidden=False, password_line=3)


def test_names_and_passwords_may_have_any_sign_of_theirs():
    found = read("wifi.txt", 'ssid=My = café\npassword= a b#c="d \ncountry=GB\nhidden=yes')
    assert found is not None
    assert (found.ssid, found.hidden) == ("My = café".encode(), True)


def test_sixty_four_digits_are_the_key_itself():
    found = read("wifi.txt", f"ssid = a\npassword = {IEEE_KEY.upper()}\ncountry = US\n")
    assert found is not None
    assert found.key == IEEE_KEY


def test_a_file_of_comments_says_nothing():
    assert read("wifi.txt", "# ssid = x\n\n") is None


def test_wpa_supplicant_gets_the_name_in_hexadecimal_and_no_password():
    network = Wifi(b'a"}\n', IEEE_KEY, "DE", hidden=True, password_line=2)
    lines = supplicant(network).split("\n")
    assert "\tssid=61227d0a" in lines
    assert f"\tpsk={IEEE_KEY}" in lines
    assert "\tscan_ssid=1" in lines
    assert "country=DE" in lines


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("ssid = a\npassword = 12345678\n", None, "country is missing"),
        ("ssid = a\ncountry = DE\n", None, "password is missing"),
        ("password = 12345678\ncountry = DE\n", None, "ssid is missing"),
        ("ssid = \npassword = 12345678\ncountry = DE\n", 1, "found 0 bytes"),
        (f"ssid = {'ä' * 17}\npassword = 12345678\ncountry = DE\n", 1, "found 34 bytes"),
        ("ssid = a\npassword = 1234567\ncountry = DE\n", 2, "found 7 characters"),
        (f"ssid = a\npassword = {'x' * 65}\ncountry = DE\n", 2, "found 65 characters"),
        ("ssid = a\npassword = pässword\ncountry = DE\n", 2, "ASCII"),
        ('ssid = a\npassword = "12345678"\ncountry = DE\n', 2, "without quotes"),
        ("ssid = a\npassword = 12345678\ncountry = Germany\n", 3, "found 'Germany'"),
        ("ssid = a\npassword = 12345678\ncountry = DE\nhidden = 1\n", 4, "expected yes or no"),
        (
            "ssid = a\npassword = 12345678\ncountry = DE\npsk = 1\n",
            4,
            "expected one of ssid, password, country, hidden",
        ),
        ("ssid = a\npassword = 12345678\ncountry = DE\nssid = b\n", 4, "already on line 1"),
        ("ssid = a\npassword = 12345678\ncountry = DE\nhello\n", 4, "expected one of"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_the_password(text, line, sentence):
    with pytest.raises(Refused) as refused:
        read("wifi.txt", text)
    (problem,) = refused.value.problems
    assert problem.line == line
    assert sentence in problem.sentence
    assert "1234567" not in str(problem)


def test_every_problem_is_said_at_once():
    with pytest.raises(Refused) as refused:
        read("wifi.txt", "ssid = \npassword = x\n")
    assert [problem.line for problem in refused.value.problems] == [None, 1, 2]
