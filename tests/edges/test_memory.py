"""What only the start needed is given back, and nothing is lost by it."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys

import pytest

from edged.edges import memory
from tests.conftest import EMULATED

PAGE = mmap.PAGESIZE
PROT_READ = 1


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"as it is in the file" * PAGE)
    return path


def begin_of(mapped):
    return ctypes.addressof(ctypes.c_char.from_buffer(mapped))


def is_listed(address):
    return any(begin <= address < end for begin, end in memory.clean_mappings())


def seal(mapped):
    """Makes a mapping read-only, as the loader does with a library's addresses."""
    address = begin_of(mapped)
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), PROT_READ) == 0
    return address


@pytest.mark.skipif(EMULATED, reason="the emulator translates addresses in one of the two files alone")
def test_a_mapping_that_nobody_wrote_to_is_given_back_and_read_again(file):
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    before = mapped[:100]
    assert is_listed(seal(mapped))
    memory.give_back_after_start()
    assert mapped[:100] == before


def test_a_page_that_was_written_to_stays(file):
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    mapped[:7] = b"changed"
    assert not is_listed(seal(mapped))
    memory.give_back_after_start()
    assert mapped[:7] == b"changed"


def test_what_can_be_written_and_what_has_no_file_is_never_listed(file):
    with file.open("rb") as opened:
        writable = mmap.mmap(opened.fileno(), PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    nameless = mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    assert not is_listed(begin_of(writable))
    assert not is_listed(begin_of(nameless))
    assert not is_listed(seal(nameless))


@pytest.mark.skipif(EMULATED, reason="the emulator translates addresses in one of the two files alone")
def test_a_process_full_of_libraries_shrinks_and_works_on():
    program = """
import sys
import cv2, numpy
from edged.edges import board, memory
before = board.rss_mb()
memory.give_back_after_start()
after = board.rss_mb()
picture = cv2.resize(numpy.full((48, 64, 3), 7, numpy.uint8), (8, 6))
assert (picture == 7).all()
sys.exit(0 if after < 0.8 * before else f"{before} MB became {after} MB")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
