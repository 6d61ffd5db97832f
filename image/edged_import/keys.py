"""authorized_keys: who may log in over SSH.

Law: text in, text out; no file is opened here.
"""

from __future__ import annotations

import base64
import binascii

from edged_import.texts import Problem, Refused, plain_lines

KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)

PRIVATE = "this is a private key, which must never leave your computer; expected the file that ends in .pub"


def read(name: str, plain: str) -> str | None:
    """The keys, one a line, as sshd(8) wants them; None: there are none.

    Raises:
        Refused: with every line that is no public key.
    """
    lines = plain_lines(plain)
    problems = [Problem(name, number, sentence) for number, line in lines if (sentence := _wrong(line))]
    # One private key is some forty wrong lines, and one sentence.
    private = [Problem(name, number, PRIVATE) for number, line in lines if "PRIVATE KEY" in line]
    if problems:
        raise Refused(*(private[:1] or problems))
    return "".join(f"{line}\n" for _, line in lines) or None


def _wrong(line: str) -> str | None:
    kind, _, rest = line.partition(" ")
    if kind not in KINDS:
        return "expected a public key, as in ssh-ed25519 AAAA... me@laptop; a comment begins with #"
    encoded = rest.split(" ")[0]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    # RFC 4253, 6.6: the key begins with its kind, behind four bytes of length.
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()) or len(blob) < len(kind) + 36:
        return f"the key is not whole; copy all of the line that begins with {kind}"
    return None
