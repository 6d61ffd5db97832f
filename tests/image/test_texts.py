"""Files that people write with whatever editor they have."""

from __future__ import annotations

import codecs

import pytest
from edged_import.texts import MAX_FILE_BYTES, Refused, blanked, plain_lines, text


def test_the_mark_and_the_line_ends_of_windows_are_no_part_of_the_text():
    assert (
        text("wifi.txt", codecs.BOM_UTF8 + b"ssid = caf\xc3\xa9\r\ncountry = DE\r\n") == "ssid = café\ncountry = DE\n"
    )


@pytest.mark.parametrize(
    ("data", "line", "sentence"),
    [
        ("ssid = x\n".encode("utf-16"), 1, "UTF-16"),
        (b"ssid = x\ncountry = \xff\n", 2, "not UTF-8"),
        (b"ssid = x\ncountry = D\0E\n", 2, "zero byte"),
        (b"#" * (MAX_FILE_BYTES + 1), None, "larger than"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_line(data, line, sentence):
    with pytest.raises(Refused) as refused:
        text("wifi.txt", data)
    (problem,) = refused.value.problems
    assert (problem.file, problem.line) == ("wifi.txt", line)
    assert sentence in problem.sentence


def test_a_problem_names_the_file_and_the_line():
    with pytest.raises(Refused, match=r"^wifi\.txt, line 2: is not UTF-8"):
        text("wifi.txt", b"a\n\xff")


def test_comments_and_empty_lines_say_nothing_but_count():
    assert plain_lines("# a\n\n  ssid = x  \n\t# b\ncountry=DE") == [(3, "ssid = x"), (5, "country=DE")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_blanked_line_is_a_comment_of_the_same_length(end, mark):
    data = mark + b'password = "hunter2"' + end + b"x = 1" + end
    left = blanked(data, frozenset({1}), "password: gone")
    assert (len(left), left.count(end)) == (len(data), 2)
    assert left.split(b"\n")[0].endswith(end[:-1])
    assert b"hunter2" not in left
    assert text("x", left).split("\n")[0].startswith("# password: gone")
    assert text("x", left).split("\n")[1:] == ["x = 1", ""]


def test_a_line_shorter_than_the_note_is_a_comment_too():
    assert blanked(b"a=1\nb", frozenset({1}), "a long note") == b"# a\nb"
