"""`model.sig`: an Ed25519 signature (RFC 8032) over a model's manifest. The only door to `cryptography`.

What is signed are the bytes of `model.toml` as they are. They are canonical already: the manifest names the sha256 of
every other file of the package, so one signature holds all of it together, and what was signed is what is read. A
canonical form that is computed from a parsed document would need two parsers to agree for ever.

Law: keys and bytes, no opinion: whether a key is trusted is for `modelstore.trust` to say. The library is imported
when a signature is made or checked, and never before.
"""

from __future__ import annotations

import base64
import binascii
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from edged.core.errors import ModelError
from edged.modelstore import durable, manifest, regular

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = manifest.SIGNATURE
MAX_BYTES = 4096
MANIFEST = b"edged model manifest\n"
STATEMENT = b"edged model downgrade\n"
"""What stands before the signed bytes, so that a signature of one kind of document is none of another."""


def new_key(path: Path) -> str:
    """Makes a private key (PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` does) that only its owner can read.

    Returns:
        The public key.

    Raises:
        ModelError: there is such a file already; a key is never overwritten.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ModelError(f"{path}: is there already, and a key is never overwritten; name another file") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return _text(key.public_key().public_bytes_raw())


def public_key(path: Path) -> str:
    """The public key of a private key file: 44 characters, base64 of its 32 bytes.

    Raises:
        ModelError: it is no Ed25519 private key.
    """
    return _text(_private(path).public_key().public_bytes_raw())


def sign(document: bytes, kind: bytes, key_path: Path) -> bytes:
    """The signature file of a document.

    Raises:
        ModelError: the key cannot be used.
    """
    key = _private(key_path)
    signed = key.sign(kind + document)
    lines = (f'key = "{_text(key.public_key().public_bytes_raw())}"', f'signature = "{_text(signed)}"')
    return "".join(f"{line}\n" for line in ("schema = 1", *lines)).encode()


def sign_folder(folder: Path, key_path: Path) -> str:
    """Writes `model.sig` into a model folder, or replaces it.

    Returns:
        The public key.

    Raises:
        ModelError: the key cannot be used, or there is no manifest.
        OSError: the folder cannot be written.
    """
    document = manifest.read_document(folder)
    durable.write(folder / SIGNATURE, sign(document, MANIFEST, key_path))
    return public_key(key_path)


def signer(folder: Path, document: bytes | None = None) -> str | None:
    """The public key that signed a model folder's manifest; None where it is not signed.

    Args:
        document: the manifest's bytes, where they were read already: then it is these that were signed.

    Raises:
        ModelError: there is a signature and it is not good; one sentence.
    """
    path = folder / SIGNATURE
    try:
        if not path.exists():
            return None
        with regular.opened(path) as file:
            signed = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    return check(manifest.read_document(folder) if document is None else document, MANIFEST, signed, path)


def check(document: bytes, kind: bytes, signed: bytes, path: Path) -> str:
    """The public key of a good signature.

    Args:
        signed: the content of a signature file.
        path: names it in sentences.

    Raises:
        ModelError: it is no signature file, or the signature is not that of the document.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key, signature = _read(signed, path)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, kind + document)
    except (InvalidSignature, ValueError):
        raise ModelError(
            f"{path}: the signature does not fit what it signs: that was changed after it was signed; "
            "get the model again, or sign it again if the change was yours"
        ) from None
    return _text(key)


def _read(signed: bytes, path: Path) -> tuple[bytes, bytes]:
    try:
        table = tomllib.loads(signed.decode()) if len(signed) <= MAX_BYTES else {}
        if table.pop("schema") != 1 or set(table) != {"key", "signature"}:
            raise ValueError
        key, signature = (base64.b64decode(table[name], validate=True) for name in ("key", "signature"))
        if (len(key), len(signature)) != (32, 64):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise ModelError(f"{path}: is no signature; expected what `edged model sign` writes") from None
    return key, signature


def _private(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: object = None
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    if not isinstance(key, Ed25519PrivateKey):
        raise ModelError(
            f"{path}: is no Ed25519 private key without a passphrase; expected a PEM file, as `edged model sign "
            "--new-key FILE` makes"
        )
    return key


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
