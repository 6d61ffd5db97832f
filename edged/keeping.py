"""Models come and go: what the model commands do, apart from what they print. Part of the composition root.

Law: the store is changed here and by nobody else: the daemon, too, comes here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edged import inventory, trusted, usage
from edged.beginning import on_probation
from edged.config import Config
from edged.core.errors import ModelError, RunError
from edged.edges.state_folder import state_root
from edged.inventory import Listed
from edged.models import check_rules, model_folders, open_model
from edged.modelstore import Package, Trust, find, install, remembered, remove, signature
from edged.modelstore import load as load_package
from edged.modelstore.installation import changing
from edged.modelstore.store import AT, versions
from edged.proving import prove

log = logging.getLogger("edged")


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
        self.trust: Trust = trusted.trust_of(config, self._root)
        self.store = self._root / "models"
        self.folders = model_folders(self._root)

    def listed(self) -> Iterator[Listed]:
        """All versions of all models, the newest of a name first."""
        return inventory.listed(self._root, self.trust)

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
            name: in the store, or a path. A name alone is the version that it stands for, or would if all were allowed.

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
        package = load_package(folder)
        if self._config is not None and self.is_for(package):
            check_rules(self._config, package)
        prove(package, self._root)
        is_lowered = self.trust.is_lowered_by(folder, statement)
        with self._writing():
            self.choose(package.name, package.version)
            if is_lowered:
                self.trust.accept(folder, lower=True)
        return package

    def is_for(self, package: Package) -> bool:
        """Whether the configuration names this model, and leaves open in which version."""
        return self._config is not None and self._config.model.name == package.name

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
            problem = "is a folder that was put there by hand, and wins over all versions of its name"
            raise ModelError(f"{folder}: {problem}; move it away and install it with: edged model add FOLDER")
        wrong = None if statement is None else self.trust.trouble_of_statement(folder, statement)
        if wrong is not None:  # under every policy, and also where none is needed: it is not what it was given for
            raise ModelError(wrong)
        self._heed(self.trust.trouble(folder, statement))
        return folder

    def choose(
        self,
        name: str,
        version: str,
        *,
        running: str | None = None,
        instead_of: str | None = None,
        ends: threading.Event | None = None,
    ) -> None:
        """Has a name stand for a version; what it stood for until now is the previous one.

        Args:
            running: the previous one where nobody chose any; left out, what the name stands for.
            instead_of: nothing is done where the name stands for another version than this, or that, by now.
            ends: see `changing`.

        Raises:
            ModelError: it stands for another one.
            OSError: it cannot be kept.
        """
        with changing(self.store, ends):
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
            place = f"{error.filename or self.store}: cannot be written ({error.strerror})"
            raise RunError(f"{place}; is there room, and is it this user's? (sudo for the service's store)") from None

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
