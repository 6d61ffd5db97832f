"""Files of a known hash from the web, for whoever pulls a model by hand: the only door to `http` and `urllib.request`.

Law: https alone, also behind a redirect; never more bytes than were announced; nothing is whole until its hash is
right. The daemon has no line that leads here.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from edged.core.errors import RunError

TIMEOUT_S = 30.0
"""For each answer of the other side, not for the whole."""
ATTEMPTS = 4
"""At one address, as long as each brings something."""
CHUNK_BYTES = 1 << 16


class _BrokenOff(Exception):
    """The same address may go on with it."""


class _Refused(Exception):
    """This address has nothing for us."""


def fetch(
    urls: Sequence[str],
    sha256: str,
    size_bytes: int,
    part: Path,
    progress: Callable[[int], None] = lambda _have_bytes: None,
    context: ssl.SSLContext | None = None,
) -> None:
    """Downloads a file, or the rest of it.

    Args:
        urls: where it is; the next one is asked where one has not got it.
        part: where it goes; what is there already is taken for its beginning. It stays when the connection breaks.
        progress: called with how many bytes are there.
        context: which certificates are good; left out: those of the system (or of `SSL_CERT_FILE`).

    Raises:
        RunError: no address has it, or the disk does not take it; one sentence.
    """
    opener = _opener(context or ssl.create_default_context())
    complaints = []
    for url in urls:
        complaint = _from(opener, url, size_bytes, part, progress) or _hash_trouble(part, sha256)
        if complaint is None:
            return
        complaints.append(f"{url} {complaint}")
    kept = "; the same command goes on with it" if _size(part) else ""
    raise RunError(f"the download failed: {'; '.join(complaints)}{kept}")


def _from(
    opener: urllib.request.OpenerDirector, url: str, size_bytes: int, part: Path, progress: Callable[[int], None]
) -> str | None:
    """What went wrong at one address, as the end of a sentence; None where the file has its size."""
    said = "answered nothing"
    for _ in range(ATTEMPTS):
        before = _size(part)
        try:
            _ask(opener, url, size_bytes, part, progress)
        except _Refused as error:
            return str(error)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                # In our words: what the other side says of it may be anything.
                return f"answered {error.code} {http.client.responses.get(error.code, 'Unknown')}"
            part.unlink(missing_ok=True)  # what is there is none of its file: from the beginning
            continue
        except urllib.error.URLError as error:
            said = f"cannot be reached ({error.reason})"
        except (_BrokenOff, http.client.HTTPException, OSError) as error:
            said = f"broke off after {_size(part)} of {size_bytes} bytes ({str(error) or type(error).__name__})"
        else:
            return None
        if _size(part) <= before:
            break
    return said


def _ask(
    opener: urllib.request.OpenerDirector, url: str, size_bytes: int, part: Path, progress: Callable[[int], None]
) -> None:
    have_bytes = _size(part)
    if have_bytes == size_bytes:
        return
    if have_bytes > size_bytes:
        part.unlink()
        have_bytes = 0
    request = urllib.request.Request(url, headers={"User-Agent": "edged"})  # noqa: S310 - see _opener
    if have_bytes:
        request.add_header("Range", f"bytes={have_bytes}-")
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            if not str(answer.headers.get("Content-Range")).startswith(f"bytes {have_bytes}-"):
                raise _Refused("answered with another part of the file than it was asked for")
        else:
            have_bytes = 0
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and have_bytes + int(length) > size_bytes:
            raise _Refused(f"has {have_bytes + int(length)} bytes, expected {size_bytes}: it is another file")
        have_bytes = _save(answer, part, have_bytes, size_bytes, progress)
    if have_bytes < size_bytes:
        raise _BrokenOff("the connection was closed")


def _save(answer: IO[bytes], part: Path, have_bytes: int, size_bytes: int, progress: Callable[[int], None]) -> int:
    with _open(part, have_bytes) as file:
        while chunk := answer.read(CHUNK_BYTES):
            have_bytes += len(chunk)
            if have_bytes > size_bytes:
                file.truncate(0)
                raise _Refused(f"sends more than the expected {size_bytes} bytes: it is another file")
            try:
                file.write(chunk)
            except OSError as error:
                raise RunError(f"{part.parent}: cannot be written ({error.strerror})") from None
            progress(have_bytes)
    return have_bytes


def _open(part: Path, have_bytes: int) -> IO[bytes]:
    try:
        file = os.fdopen(_descriptor(part, os.O_WRONLY | os.O_CREAT), "wb", buffering=0)
        file.truncate(have_bytes)
        file.seek(have_bytes)
    except OSError as error:
        raise RunError(f"{part.parent}: cannot be written ({error.strerror})") from None
    return file


def _descriptor(part: Path, flags: int) -> int:
    """Of a regular file: root may be at work in the folder of somebody who puts links there."""
    descriptor = os.open(part, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EEXIST, "something else has the file's name", str(part))
    return descriptor


def _hash_trouble(part: Path, sha256: str) -> str | None:
    try:
        with os.fdopen(_descriptor(part, os.O_RDONLY), "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunError(f"{part}: cannot be read ({error.strerror})") from None
    if found == sha256:
        return None
    part.unlink()
    return f"has another file: its sha256 is {found}, expected {sha256}"


def _size(part: Path) -> int:
    try:
        return part.lstat().st_size
    except FileNotFoundError:
        return 0


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https, and no other."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Any:
        """The request for the new address."""
        if urlsplit(newurl).scheme != "https":
            raise _Refused(f"leads on to {newurl[:200]!r}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _opener(context: ssl.SSLContext) -> urllib.request.OpenerDirector:
    """Knows https and the proxies of the environment; a handler for http is not there at all."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        _OnlyHttps(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
