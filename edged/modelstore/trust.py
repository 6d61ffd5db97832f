"""Which models may be used: whose signature, how old, and never an older one than was accepted before.

What was accepted is in `trust.json` of the store, by public key and model name: no package has a file there, so none
can take it back. A signature alone would not stop an old package, which is signed as well as the new one.

Law: sentences and one small file. What ships with edged is trusted as edged itself is, and needs no signature.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edged.core.errors import ModelError
from edged.modelstore import durable, manifest, regular, remembered, signature
from edged.modelstore.installation import changing
from edged.modelstore.manifest import Manifest
from edged.modelstore.store import AT, bundled
from edged.modelstore.versions import is_older

Policy = Literal["off", "warn", "require"]
LEDGER = "trust.json"
SEPARATOR = b"[signature]\n"


@dataclass(frozen=True)
class Trust:
    """What a configuration says of signatures.

    Attributes:
        policy: off: nothing is looked at; warn: it is said; require: it is refused.
        keys: names of the trusted public keys, by the key.
        store: where `trust.json` and the remembered versions are.
        today: for `expires`; None where no time server has set the clock, and nothing is judged by it then.
        in_use: (name, version) of what runs already, and goes on whatever its age.
    """

    policy: Policy = "off"
    keys: Mapping[str, str] = field(default_factory=dict)
    store: Path | None = None
    today: datetime.date | None = None
    in_use: Collection[tuple[str, str]] = ()

    def judge(self, folder: Path) -> None:
        """Refuses a model folder, for `store.find`.

        Raises:
            ModelError: the policy is require, and something is wrong with it.
        """
        if self.policy == "require" and (trouble := self.trouble(folder)) is not None:
            raise ModelError(trouble)

    def warning(self, folder: Path) -> str | None:
        """What the policy warn has to say of a model folder."""
        return self.trouble(folder) if self.policy == "warn" else None

    def signed_by(self, folder: Path) -> str | None:
        """The name of the key, or "unknown key KEY", or "not good"; None where it is not signed."""
        try:
            key = signature.signer(folder)
        except ModelError:
            return "not good"
        return None if key is None else self.keys.get(key, f"unknown key {key}")

    def trouble(self, folder: Path, statement: Path | None = None) -> str | None:
        """Why a model folder is not to be trusted, in one sentence; None where it is.

        Args:
            statement: a signed downgrade, see `downgrade`; looked at where the version would be too old without it.
        """
        if _ships(folder):
            return None
        try:
            told, key = _read(folder)
            return self._signer_trouble(told, key) or self._age_trouble(folder, told, str(key), statement)
        except ModelError as error:
            return str(error)

    def trouble_of_statement(self, folder: Path, statement: Path) -> str | None:
        """Why a file is no signed downgrade to this version, whether or not it is needed; None where it is."""
        try:
            return _statement_trouble(statement, *_read(folder), None)
        except ModelError as error:
            return str(error)

    def is_lowered_by(self, folder: Path, statement: Path | None) -> bool:
        """Whether it is the signed downgrade alone that makes this version one to be trusted."""
        return statement is not None and self.trouble(folder) is not None and self.trouble(folder, statement) is None

    def accept(self, folder: Path, lower: bool = False) -> None:
        """Notes that a version is used: from now on none that is older, from the same key.

        Args:
            lower: a downgrade allows it (`is_lowered_by`): what is older than this version is too old, and this is not.

        Raises:
            ModelError: what was accepted before cannot be read.
            OSError: it cannot be written.
        """
        if self.policy == "off" or self.store is None or self.trouble_of_signature(folder) is not None:
            return
        told, key = _read(folder)
        if key is None or not (lower or _is_newest(_ledger(self.store), key, told)):
            return
        with changing(self.store):
            ledger = _ledger(self.store)  # once more: what others who share the store wrote meanwhile stays
            if lower or _is_newest(ledger, key, told):
                ledger.setdefault(key, {})[told.name] = told.version
                durable.write(self.store / LEDGER, json.dumps(ledger, indent=1, sort_keys=True).encode())

    def trouble_of_signature(self, folder: Path) -> str | None:
        """As `trouble`, of the signature alone."""
        if _ships(folder):
            return None
        try:
            return self._signer_trouble(*_read(folder))
        except ModelError as error:
            return str(error)

    def _signer_trouble(self, told: Manifest, key: str | None) -> str | None:
        what = f"model {told.name} {told.version}"
        if key is None:
            return f"{what} is not signed; expected a {signature.SIGNATURE} by one of [model] trusted_keys"
        if key not in self.keys:
            # In front, as the path of a file would be: a key may look like one, and is not published then.
            return f"key {key}: {what} is signed by a key that is none of [model] trusted_keys"
        return None

    def _age_trouble(self, folder: Path, told: Manifest, key: str, statement: Path | None) -> str | None:
        if (told.name, told.version) in self.in_use:
            return None
        choice = remembered.read(self.store).get(told.name) if self.store is not None else None
        if choice is None or folder.parent != self.store or folder.name != f"{told.name}{AT}{told.version}":
            choice = remembered.Choice("")
        # What is in use goes on: a board that stops to look at a certain date helps nobody.
        is_over = told.expires is not None and self.today is not None and self.today > told.expires
        if is_over and told.version != choice.version:
            return f"model {told.name} {told.version} expired on {told.expires}; install a newer version"
        if self.store is None or told.version in (choice.version, choice.previous):
            return None
        highest = _ledger(self.store).get(key, {}).get(told.name)
        if highest is None or not is_older(told.version, highest):
            return None
        if statement is None:
            return (
                f"model {told.name} {told.version} is older than {highest}, which was accepted from the same key; "
                "going back needs a signed downgrade (edged model use --downgrade FILE)"
            )
        return _statement_trouble(statement, told, key, highest)


def _read(folder: Path) -> tuple[Manifest, str | None]:
    """A manifest and who signed it, both of the same bytes."""
    document = manifest.read_document(folder)
    return manifest.parse(document, folder), signature.signer(folder, document)


def _ships(folder: Path) -> bool:
    return folder.resolve().parent == bundled().resolve()


def downgrade(told: Manifest, highest: str, key_path: Path) -> bytes:
    """A signed statement: boards that have accepted `highest`, and no newer one, may go back to this version.

    It is bound to the version that it goes back from, so it is of no use any more once a newer one was accepted.

    Raises:
        ModelError: the key cannot be used, or the version is not older.
    """
    if not is_older(told.version, highest):
        raise ModelError(f"{told.version} is not older than {highest}: a downgrade goes to an older version")
    lines = (f'name = "{told.name}"', f"version = {json.dumps(told.version)}", f"from = {json.dumps(highest)}")
    body = "".join(f"{line}\n" for line in ("schema = 1", *lines)).encode()
    return body + SEPARATOR + signature.sign(body, signature.STATEMENT, key_path)


def _statement_trouble(path: Path, told: Manifest, key: str | None, highest: str | None) -> str | None:
    """Why a file is not the signed downgrade to a version.

    Args:
        key: that signed the model.
        highest: the version that it must go back from; None: any.
    """
    if key is None:
        return f"{path}: a signed downgrade goes to a signed model, and {told.name} {told.version} is not signed"
    try:
        with regular.opened(path) as file:
            body, separator, signed = file.read(2 * signature.MAX_BYTES).partition(SEPARATOR)
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"
    if not separator:
        return f"{path}: is no signed downgrade; expected what `edged model sign --downgrade-from` prints"
    if signature.check(body, signature.STATEMENT, signed, path) != key:
        return f"{path}: is signed by another key than the model"
    try:
        table = tomllib.loads(body.decode())
    except (ValueError, RecursionError):
        return f"{path}: is no signed downgrade; expected what `edged model sign --downgrade-from` prints"
    old = table.get("from")
    expected = {"schema": 1, "name": told.name, "version": told.version, "from": old if highest is None else highest}
    if table != expected:
        said = f"{table.get('name')} from {old} to {table.get('version')}"
        needed = f"{told.name} from {highest or 'a newer version'} to {told.version}"
        return f"{path}: is for {said}; needed is {needed}"
    return None


def _is_newest(ledger: Mapping[str, Mapping[str, str]], key: str, told: Manifest) -> bool:
    highest = ledger.get(key, {}).get(told.name)
    return highest is None or is_older(highest, told.version)


def _ledger(store: Path) -> dict[str, dict[str, str]]:
    path = store / LEDGER
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and all(
        isinstance(names, dict) and all(isinstance(version, str) for version in names.values())
        for names in content.values()
    ):
        return content
    raise ModelError(
        f"{path}: is damaged, so it is not known which versions were accepted; remove it to begin anew, with what "
        "is installed now"
    )
