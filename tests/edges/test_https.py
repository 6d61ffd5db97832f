"""Downloads from a real https server on loopback: whole, in pieces, and not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import ssl

import pytest

from edged.core.errors import RunError
from edged.edges.https import ATTEMPTS, fetch

FILE = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(FILE).hexdigest()


@pytest.fixture
def server(https_server):
    https_server.answer = lambda ask: ask.file(FILE)
    return https_server


@pytest.fixture
def part(tmp_path):
    return tmp_path / "x.part"


def get(server, part, *paths, seen=None):
    context = ssl.create_default_context(cafile=server.ca_file)
    urls = [path if "://" in path else f"{server.url}{path}" for path in paths or ("/a",)]
    fetch(urls, SHA256, len(FILE), part, (seen if seen is not None else []).append, context)


def refused(server, part, *paths):
    with pytest.raises(RunError) as caught:
        get(server, part, *paths)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_comes_whole_and_tells_how_far_it_is(server, part):
    seen = []
    get(server, part, seen=seen)
    assert part.read_bytes() == FILE
    assert seen == sorted(seen)
    assert seen[-1] == len(FILE)
    assert server.asked == [("/a", None)]


def test_what_broke_off_goes_on_where_it_was(server, part):
    server.answer = lambda ask: ask.file(FILE, most=200_000)
    get(server, part)
    assert part.read_bytes() == FILE
    begins = [None, "bytes=200000-", "bytes=400000-"]
    assert [asked for _, asked in server.asked] == begins


def test_a_new_process_goes_on_where_the_old_one_was(server, part):
    part.write_bytes(FILE[:123_456])
    get(server, part)
    assert part.read_bytes() == FILE
    assert server.asked == [("/a", "bytes=123456-")]


def test_what_is_there_already_is_not_asked_for(server, part):
    part.write_bytes(FILE)
    get(server, part)
    assert server.asked == []


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(server, part):
    part.write_bytes(FILE[:1000])
    server.answer = lambda ask: ask.file(FILE, ranges=False)
    get(server, part)
    assert part.read_bytes() == FILE


def test_a_range_that_was_not_asked_for_is_refused(server, part):
    part.write_bytes(FILE[:1000])

    def lie(ask):
        ask.send_response(206)
        ask.send_header("Content-Range", f"bytes 0-{len(FILE) - 1}/{len(FILE)}")
        ask.send_header("Content-Length", "10")
        ask.end_headers()

    server.answer = lie
    assert "another part of the file" in refused(server, part)
    assert part.read_bytes() == FILE[:1000]


def test_more_than_the_file_can_have_begins_anew(server, part):
    part.write_bytes(FILE + b"!")
    get(server, part)
    assert server.asked == [("/a", None)]


def test_a_server_that_refuses_the_range_is_asked_for_all(server, part):
    part.write_bytes(FILE[:1000])
    server.answer = lambda ask: ask.send_error(416) if ask.headers.get("Range") else ask.file(FILE)
    get(server, part)
    assert part.read_bytes() == FILE
    assert [asked for _, asked in server.asked] == ["bytes=1000-", None]


@pytest.mark.parametrize("length", [None, -1])
def test_a_file_that_is_too_large_is_refused_whether_it_says_so_or_not(server, part, length):
    server.answer = lambda ask: ask.file(FILE + bytes(1_000_000), length=length)
    sentence = refused(server, part)
    assert "it is another file" in sentence
    assert not part.exists() or part.stat().st_size == 0


def test_the_wrong_bytes_are_thrown_away(server, part):
    server.answer = lambda ask: ask.file(FILE[::-1])
    assert f"its sha256 is {hashlib.sha256(FILE[::-1]).hexdigest()}, expected {SHA256}" in refused(server, part)
    assert not part.exists()


def test_a_damaged_beginning_is_found_and_the_next_run_is_clean(server, part):
    part.write_bytes(b"?" * 1000)
    assert "has another file" in refused(server, part)
    get(server, part)
    assert part.read_bytes() == FILE


def test_mirrors_are_asked_in_order_and_the_next_goes_on_with_what_is_there(server, part):
    def answer(ask):
        if ask.path == "/gone":
            ask.send_error(404)
        elif ask.path == "/half":
            ask.file(FILE[:100_000], length=len(FILE)) if not ask.headers.get("Range") else ask.send_error(503)
        else:
            ask.file(FILE)

    server.answer = answer
    get(server, part, "/gone", "/half", "/whole")
    assert part.read_bytes() == FILE
    assert server.asked == [
        *(("/gone", None), ("/half", None), ("/half", "bytes=100000-")),
        ("/whole", "bytes=100000-"),
    ]


def test_all_that_went_wrong_is_in_the_sentence(server, part):
    server.answer = lambda ask: ask.send_error(404 if ask.path == "/a" else 500)
    sentence = refused(server, part, "/a", "/b", "https://127.0.0.1:1/c")
    assert "/a answered 404 Not Found; " in sentence
    assert "/b answered 500 Internal Server Error; " in sentence
    assert "/c cannot be reached (" in sentence


def test_one_that_sends_nothing_is_not_asked_for_ever(server, part):
    server.answer = lambda ask: ask.file(FILE, most=0)
    assert "broke off after 0 of" in refused(server, part)
    assert len(server.asked) == 1
    server.asked.clear()
    server.answer = lambda ask: ask.file(FILE, most=1)
    assert "the same command goes on with it" in refused(server, part)
    assert len(server.asked) == ATTEMPTS


def test_a_redirect_leads_to_https_and_nowhere_else(server, part):
    server.answer = lambda ask: ask.redirect(f"{server.url}/b") if ask.path == "/a" else ask.file(FILE)
    get(server, part)
    assert [path for path, _ in server.asked] == ["/a", "/b"]
    part.unlink()
    for address in ("http://127.0.0.1/b", "ftp://127.0.0.1/b", "file:///etc/passwd"):
        server.answer = lambda ask, to=address: ask.redirect(to)
        assert "which is not https" in refused(server, part) or address.startswith("file:")
        assert not part.exists()
    server.answer = lambda ask: ask.redirect(f"{server.url}/a")
    assert "answered 302" in refused(server, part)
    assert not part.exists()


def test_plain_http_is_not_even_known(server, part):
    assert "cannot be reached (unknown url type" in refused(server, part, server.url.replace("https", "http") + "/a")


def test_a_certificate_of_nobody_is_refused(server, part):
    with pytest.raises(RunError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch([f"{server.url}/a"], SHA256, len(FILE), part)


def test_a_disk_that_takes_no_more_is_told_as_that(server, part):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, before[1]))
    try:
        said = refused(server, part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"{part.parent}: cannot be written ({os.strerror(errno.EFBIG)})" in said


def plant(part, kind, victim):
    if kind == "pipe":
        os.mkfifo(part)
    elif kind == "folder":
        part.mkdir()
    else:
        victim.write_bytes(FILE if kind == "link to the whole" else b"root's own")
        part.symlink_to(victim if kind != "link to nothing" else victim.with_name("new"))


@pytest.mark.parametrize("kind", ["link", "link to nothing", "link to the whole", "pipe", "folder"])
def test_what_somebody_put_in_the_place_of_the_file_is_neither_written_nor_read(server, part, tmp_path, kind):
    victim = tmp_path / "victim"
    plant(part, kind, victim)
    said = refused(server, part)
    assert "cannot be written (" in said
    assert not (tmp_path / "new").exists()
    assert not victim.exists() or victim.read_bytes() in (FILE, b"root's own")
    assert part.is_symlink() or not part.is_file()


def test_a_link_of_the_right_length_is_not_read_either(server, part, tmp_path):
    (tmp_path / "victim").write_bytes(FILE)
    target = f"{tmp_path}/{'./' * 3}victim"
    part.symlink_to(target)
    context = ssl.create_default_context(cafile=server.ca_file)
    with pytest.raises(RunError, match=r"x\.part: cannot be read \("):
        fetch([f"{server.url}/a"], SHA256, len(target), part, context=context)
