"""Models come and go: what the model commands do, apart from what they print. Part of the composition root.

Law: the store is changed here and by nobody else: the daemon, too, comes here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edged import trial, trusted, tuning, usage
from edged.beginning import on_probation
from edged.config import Config
from edged.core.errors import ModelError, RunError
from edged.edges.state_folder import StateFolder, state_root
from edged.models import model_folders, open_model
from edged.modelstore import Package, Trust, available, find, install, manifest, remembered, remove, signature
from edged.modelstore import load as load_package
from edged.modelstore.installation import changing
from edged.modelstore.package import MODEL
from edged.modelstore.store import AT, versions
from edged.proving import prove, proven_ms

log = logging.getLogger("edged")


@dataclass(frozen=True)
class Listed:
    """One version of a model.

    Attributes:
        size_bytes: of all files that its manifest names.
        signed_by: as `Trust.signed_by` says it.
        invoke_ms: as it was measured on this board, by the number of threads: when the threads were chosen, or else
            when it was tested.
        active: whether this is the version that the model's name stands for.
        trouble: why it cannot be used; what is not known then is None.
    """

    name: str
    version: str | None
    size_bytes: int | None
    licence: str | None
    signed_by: str | None
    invoke_ms: dict[int, float]
    active: bool
    folder: str
    trouble: str | None

    def as_object(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


class Keeper:
    """The models of this machine.

    Args:
        config: whose keys and policy hold; None: none.
        root: the state root, `state_root()` where it is left out.
        services: the folder with the configurations that share the state root, as `usage` knows it where it is left
            out.
    """

    def __init__(self, config: Config | None, root: Path | None = None, services: Path | None = None) -> None:
        self._config = config
        self._root = root or state_root()
        self._services = services or usage.services_of(self._root)
        self.trust: Trust = trusted.trust(config.model if config else None, self._root)
        self.store = self._root / "models"
        self.folders = model_folders(self._root)

    def listed(self) -> Iterator[Listed]:
        """All versions of all models, the newest of a name first."""
        times, proven = StateFolder(self._root).read("threads.json"), proven_ms(self._root)
        for name in available(self.folders):
            try:
                active: Path | None = find(name, self.folders, self.trust.judge)
            except ModelError:
                active = None
            try:
                folders = versions(name, self.folders).values()
            except ModelError as error:
                yield Listed(name, None, None, None, None, {}, False, "", str(error))
                continue
            yield from (self._one(name, folder, folder == active, times, proven) for folder in folders)

    def _one(
        self, name: str, folder: Path, active: bool, times: Mapping[str, Any], proven: Mapping[str, float]
    ) -> Listed:
        try:
            told = manifest.read(folder)
            size_bytes = sum((folder / file).stat().st_size for file in told.files)
            sha256 = told.files[MODEL]
            measured = {1: proven[sha256]} if sha256 in proven else {}
            measured |= tuning.times_ms(times.get(tuning.times_key(sha256)))
        except (ModelError, KeyError, OSError) as error:
            sentence = str(error) if isinstance(error, ModelError) else f"{folder}: its files are not complete"
            return Listed(name, None, None, None, None, {}, active, str(folder), sentence)
        return Listed(
            name,
            told.version,
            size_bytes,
            told.licence,
            self.trust.signed_by(folder),
            measured,
            active,
            str(folder),
            self.trust.trouble(folder) if self.trust.policy != "off" else None,
        )

    def add(self, folder: Path) -> Path:
        """Installs a model folder, once it is known that it works and whose it is. Its age is for `use` to judge.

        Raises:
            ModelError: it cannot.
            RunError: the store cannot be written.
        """
        self._heed(self.trust.trouble_of_signature(folder))
        self.test(str(folder.absolute() / "model.tflite"))
        with self._writing():
            return install(folder, self.store, usage.kept(self._config, self._services, self._root))

    def verify(self, name: str) -> tuple[Package, str | None]:
        """The package, every hash of it verified, and who signed it. Its age is for `use` and the start to judge.

        Args:
            name: a name in the store, or a path. A name alone is the version that it stands for; where none is
                allowed, the one that it would stand for if all were.

        Raises:
            ModelError: something is not as it should be: a file, a signature that is not good, or under `require` one
                that is missing or nobody's who is trusted.
        """
        try:
            folder = find(name, self.folders, self.trust.judge)
        except ModelError:
            folder = find(name, self.folders)
        signature.signer(folder)
        if self.trust.policy == "require" and (trouble := self.trust.trouble_of_signature(folder)) is not None:
            raise ModelError(trouble)
        package = open_model(str(folder.absolute()), 1, self._root)[0]
        return package, self.trust.signed_by(folder)

    def test(self, name: str) -> Package:
        """Loads a model and runs its golden pictures, in a process of its own.

        Raises:
            ModelError: it cannot be loaded, or its scores are not those that it promises.
            RunError: it could not be tried.
        """
        package = load_package(find(name, self.folders))
        prove(package, self._root)
        return package

    def use(self, name: str, statement: Path | None = None) -> Package:
        """Makes a version the one that its name stands for, after it was judged, verified, loaded and tested.

        Args:
            name: `NAME@VERSION`, or `NAME` for the newest that is allowed.
            statement: a signed downgrade.

        Raises:
            ModelError: there is none such, or it was refused.
            RunError: that cannot be kept.
        """
        folder = self.judged(name, statement)
        package = self.test(str(folder))
        if self._config is not None and self._config.model.name == package.name:
            trial.check_rules(self._config, package)
        is_lowered = self.trust.is_lowered_by(folder, statement)
        with self._writing():
            self.choose(package.name, package.version)
            if is_lowered:
                self.trust.accept(folder, lower=True)
        return package

    def judged(self, name: str, statement: Path | None = None) -> Path:
        """The folder of a version that may be used; it was not yet looked into.

        Args:
            name, statement: as for `use`.

        Raises:
            ModelError: there is none such, or it was refused.
        """
        stem, at, _ = name.partition(AT)
        folder = find(name if at else f"{stem}{AT}{self.newest(stem)}", self.folders)
        if folder.parent == self.store and AT not in folder.name:
            raise ModelError(
                f"{folder}: is a folder that was put there by hand, and wins over all versions of its name; move it "
                f"away and install it with: edged model add FOLDER"
            )
        wrong = None if statement is None else self.trust.trouble_of_statement(folder, statement)
        if wrong is not None:  # under every policy, and also where none is needed: it is not what it was given for
            raise ModelError(wrong)
        self._heed(self.trust.trouble(folder, statement))
        return folder

    def choose(self, name: str, version: str, *, running: str | None = None, instead_of: str | None = None) -> None:
        """Has a name stand for a version; what it stood for until now is the previous one.

        Args:
            running: the previous one where nobody chose any; left out, what the name stands for.
            instead_of: nothing is done where the name stands for another version than this, or that, by now.

        Raises:
            ModelError: it stands for another one.
            OSError: it cannot be kept.
        """
        with changing(self.store):
            standing = self.standing(name)
            if instead_of is not None and standing not in (instead_of, version):
                raise ModelError(f"model {name}: {standing} was chosen meanwhile")
            remembered.remember(self.store, name, version, running or standing)

    def standing(self, name: str) -> str | None:
        """The version that a name stands for, whoever may use it; None where there is none."""
        try:
            folder = find(name, self.folders)
        except ModelError:
            return None
        return next((version for version, path in versions(name, self.folders).items() if path == folder), None)

    def _heed(self, trouble: str | None) -> None:
        if trouble is None or self.trust.policy == "off":
            return
        if self.trust.policy == "require":
            raise ModelError(trouble)
        log.warning("%s", trouble)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{error.filename or self.store}: cannot be written ({error.strerror}); is there room, and is it this "
                "user's? (sudo for the service's store)"
            ) from None

    def newest(self, name: str) -> str:
        """The newest version of a model that may be used.

        Raises:
            ModelError: there is none; what there is, or why it is not allowed.
        """
        found = versions(name, self.folders)
        for version, folder in found.items():
            if self.trust.policy != "require" or self.trust.trouble(folder) is None:
                return version
        find(name, self.folders, self.trust.judge)
        raise ModelError(f"model {name}: there is no version that may be used")

    def remove(self, name: str) -> list[Path]:
        """Takes one version of a model out of the store, or all of them.

        Raises:
            ModelError: there is none such, one of them is in use, or it is not known what is.
            RunError: the store cannot be written.
        """
        stem, at, _ = name.partition(AT)
        installed = [path for path in versions(stem, [self.store]).values() if AT in path.name]
        going = [path for path in installed if not at or path.name == name]
        if not going:
            find(name, self.folders)
            raise ModelError(f"model {name} was not installed by `edged model`, and is not removed by it")
        for use in usage.uses(self._config, self._services, self._root):
            if use.folder in {path.resolve() for path in going}:
                raise ModelError(
                    f"model {use.folder.name} is in use: [model] name = {use.name!r} of {use.path} stands for it; use "
                    "another version first (edged model use NAME@VERSION), or name another model there"
                )
        waiting = {f"{one.name}{AT}{one.base}" for one in on_probation(self._root)}
        if (path := next((path for path in going if path.name in waiting), None)) is not None:
            raise ModelError(
                f"model {path.name} would come back if the version that is on probation failed; wait for that"
            )
        choices = remembered.read(self.store)
        if at and stem in choices and name == f"{stem}{AT}{choices[stem].version}":
            raise ModelError(f"model {name} is in use; use another version first: edged model use NAME@VERSION")
        with self._writing():
            if not at and stem in choices:
                with changing(self.store):
                    remembered.forget(self.store, stem)
            for path in going:
                remove(path)
        return going
