"""Why a network camera's stream does not open: one small RTSP question of our own, asked after a failed opening.

Law: asks and tells, shows nothing. Knows sockets and RTSP's DESCRIBE, no pictures. A sentence made here names no host,
no path and no part of a login, and nothing that the camera says is repeated in it but a status number. The login goes
out only where the camera asks for one, in clear only where it offers nothing better: as FFmpeg does it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from edged.ports import Clock

PORTS = {"rtsp": 554, "rtsps": 322}
MAX_ANSWER_BYTES = 65536

Login = tuple[str, str]
"""User name and password, as they are."""

NO_HOST = (
    "the camera's host name does not resolve; check [camera] source, or set the camera's address instead of its name"
)
REFUSED = (
    "nothing listens at the camera's RTSP port; check that RTSP is switched on in the camera, and the port in source"
)
SILENT = "the camera does not answer; check its power, its network and the address in [camera] source"
NO_TLS = "TLS to the camera fails; check that its rtsps is switched on, or set an rtsp: source"
NO_RTSP = "what answers at this address and port is no RTSP server; check the port in [camera] source, usually 554"
HUNG_UP = "the connection is closed without an answer; check the port in [camera] source, and for other viewers"
NEEDS_LOGIN = "the camera needs a login; set [camera] username and password_file"
LOGIN_REFUSED = "the camera refuses the login; check [camera] username and the password in password_file"
NO_STREAM = "the camera has no stream at this path; look up the path for this model and set it in [camera] source"
NO_VIDEO = "there is no video in this stream; set [camera] source to the path of one with video"
NO_PICTURE = "the camera offers video, but no picture comes; set its encoder to H.264, H.265 or MJPEG"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back. `status`: 0 for nothing that begins as RTSP does, None where the connection was closed."""

    status: int | None
    head: str
    body: str


def ask(url: str, login: Login | None, timeout_s: float, clock: Clock) -> str:
    """Asks the camera for the stream's description: why it does not open, as one sentence for a person.

    Blocks for about three times `timeout_s` at most, and for as long as the system takes to look a name up.

    Args:
        url: rtsp: or rtsps:, without a login.
        timeout_s: for the connection, and for each answer.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    try:
        plain = socket.create_connection((parts.hostname, parts.port or PORTS[parts.scheme]), timeout_s)
    except (socket.gaierror, UnicodeError):
        return NO_HOST
    except ConnectionRefusedError:
        return REFUSED
    except TimeoutError:
        return SILENT
    except OSError as error:
        return f"the camera cannot be reached ({error.strerror}); check its network and the address in [camera] source"
    with plain:
        if parts.scheme == "rtsp":
            return _converse(plain, url, login, timeout_s, clock)
        try:
            # As FFmpeg: encrypted, but with whoever answers. Cameras make their certificates themselves.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname=parts.hostname) as wrapped:
                return _converse(wrapped, url, login, timeout_s, clock)
        except TimeoutError:
            return SILENT
        except (OSError, ValueError):
            return NO_TLS


def _converse(connection: socket.socket, url: str, login: Login | None, timeout_s: float, clock: Clock) -> str:
    try:
        answer = _describe(connection, url, "", clock.monotonic() + timeout_s, clock)
        if answer.status == 401:
            if login is None:
                return NEEDS_LOGIN
            shown = f"Authorization: {_authorization(answer.head, url, login)}\r\n"
            answer = _describe(connection, url, shown, clock.monotonic() + timeout_s, clock)
    except TimeoutError:
        return SILENT
    except OSError:
        return HUNG_UP
    return _verdict(answer)


def _verdict(answer: _Answer) -> str:
    known = {None: HUNG_UP, 0: NO_RTSP, 401: LOGIN_REFUSED, 403: LOGIN_REFUSED, 404: NO_STREAM}
    if answer.status in known:
        return known[answer.status]
    if answer.status != 200:
        return f"the camera refuses the stream (RTSP status {answer.status}); check for other viewers, or restart it"
    return NO_PICTURE if re.search(r"^m=video ", answer.body, re.MULTILINE) else NO_VIDEO


def _describe(connection: socket.socket, url: str, more: str, until_s: float, clock: Clock) -> _Answer:
    sequence = 2 if more else 1
    request = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: {sequence}\r\nAccept: application/sdp\r\n{more}\r\n"
    connection.sendall(request.encode())
    data = b""
    while len(data) < MAX_ANSWER_BYTES and not _is_whole(data):
        # One byte now and then must not keep us here.
        connection.settimeout(max(until_s - clock.monotonic(), 0.001))
        some = connection.recv(4096)
        if not some:
            break
        data += some
        if not b"RTSP/1.".startswith(data[:7]):
            break
    if not data:
        return _Answer(None, "", "")
    head, _, body = data.decode("latin-1").partition("\r\n\r\n")
    status = re.match(r"RTSP/1\.\d (\d{3})", head)
    return _Answer(int(status[1]) if status else 0, head, body)


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"^content-length: *(\d{1,6})", head, re.IGNORECASE | re.MULTILINE)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def _authorization(head: str, url: str, login: Login) -> str:
    """The header's value for the best that the camera offers: Digest (MD5, as FFmpeg can), else Basic."""
    offers = re.findall(r"^www-authenticate: *(\w+) *(.*?)\r?$", head, re.IGNORECASE | re.MULTILINE)
    digest = next((offer for scheme, offer in offers if scheme.lower() == "digest"), None)
    username, password = login
    if digest is None:
        return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    given = {
        name.lower(): quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^",\s]+))', digest)
    }
    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    known, asked = _md5(f"{username}:{realm}:{password}"), _md5(f"DESCRIBE:{url}")
    fields = {"username": username, "realm": realm, "nonce": nonce, "uri": url}
    if "auth" in given.get("qop", "").split(","):
        once = secrets.token_hex(8)
        fields["response"] = _md5(f"{known}:{nonce}:00000001:{once}:auth:{asked}")
        tail = f', qop=auth, nc=00000001, cnonce="{once}"'
    else:
        fields["response"] = _md5(f"{known}:{nonce}:{asked}")
        tail = ""
    if "opaque" in given:
        fields["opaque"] = given["opaque"]
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items()) + tail


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
