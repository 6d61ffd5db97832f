"""An https server on loopback that can break off, answer nonsense and lead elsewhere, and the authority behind it."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from tests.certificates import Authority


class Answer(http.server.BaseHTTPRequestHandler):
    """One request; what is answered is for the server's `answer` to say."""

    protocol_version = "HTTP/1.1"
    server: HttpsServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        self.close_connection = True
        self.server.answer(self)

    def log_message(self, *_words: object) -> None:
        """Says nothing."""

    def file(self, content: bytes, most: int | None = None, ranges: bool = True, length: int | None = None) -> None:
        """Answers with a file, or the rest of it; `most` bytes of that, then the connection ends."""
        begin = 0
        asked = self.headers.get("Range")
        if ranges and asked:
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if length is None or length >= 0:
            self.send_header("Content-Length", str(len(content) - begin if length is None else length))
        self.end_headers()
        self.wfile.write(content[begin:][:most])

    def redirect(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()


class HttpsServer(http.server.ThreadingHTTPServer):
    """Listens on a free port until it is closed.

    Attributes:
        asked: the path and the Range of each request.
        answer: what is done with one.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[tuple[str, str | None]] = []
        self.answer: Callable[[Answer], None] = lambda ask: ask.send_error(404)
        authority = Authority(folder)
        certificate, key = authority.sign("server", "IP:127.0.0.1")
        self.ca_file = authority.file
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def handle_error(self, *_words: object) -> None:
        """A client that leaves in the middle is what is tested here."""

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
