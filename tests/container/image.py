"""An image and a container of it, by buildah: what Docker would do with them, as far as the tests look."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.fakes import until

UID = 990
"""edged's user in the image."""
LIMIT_S = 240.0
"""Generous: everything inside is emulated."""


class Image:
    """An image in a storage folder of buildah's.

    Args:
        containers: the folder that scripts/build-container uses.
    """

    def __init__(self, containers: Path, name: str) -> None:
        self._containers = containers
        self.name = name
        self.described: dict[str, Any] = json.loads(self.buildah("inspect", "--type", "image", name))["Docker"]
        self.config: dict[str, Any] = self.described["config"]

    def command(self, *words: str | Path) -> list[str]:
        """A command line of buildah's on this storage, as container/storage has it."""
        storage = (
            "--storage-driver",
            "vfs",
            "--root",
            self._containers / "images",
            "--runroot",
            self._containers / "run",
        )
        return ["buildah", *map(str, storage), *map(str, words)]

    def buildah(self, *words: str | Path) -> str:
        """What a command of buildah's prints; an error is the test's."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class Container:
    """A container that runs one program after the other, or several at once.

    Args:
        etc, state: folders of this machine that it sees at /etc/edged, read-only, and at /var/lib/edged.
    """

    def __init__(self, image: Image, etc: Path, state: Path) -> None:
        self.image, self.etc, self.state = image, etc, state
        etc.chmod(0o755)
        os.chown(state, UID, UID)
        self._name = image.buildah("from", "--pull-never", "--arch", "arm64", image.name)
        # buildah would mount a volume of its own over ours, as Docker does not.
        image.buildah("config", "--volume", "/var/lib/edged-", self._name)
        self.root = Path(image.buildah("mount", self._name))

    def command(self, *words: str) -> list[str]:
        """A command line of this machine that runs a program in the container."""
        volumes = ("--volume", f"{self.etc}:/etc/edged:ro", "--volume", f"{self.state}:/var/lib/edged")
        # QEMU's default is four times slower than a Raspberry Pi 4's processor; without QEMU nobody reads it.
        return self.image.command("run", "--env", "QEMU_CPU=cortex-a72", *volumes, self._name, "--", *words)

    def edged(self, *words: str) -> list[str]:
        """The same for the image's entry point; without words what it runs by itself."""
        return self.command(*self.image.config["Entrypoint"], *(words or self.image.config["Cmd"]))

    def health(self) -> subprocess.CompletedProcess[str]:
        """One health check, by the command that the image names."""
        kind, *words = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return run(self.command(*words))

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.image.buildah("rm", self._name)


class Service:
    """The container's own command, running, its words in a file. `pid` is edged's own process, seen from outside."""

    def __init__(self, container: Container, said: Path) -> None:
        self._said = said
        with said.open("wb") as file:
            self._process = subprocess.Popen(container.edged(), stdout=file, stderr=file)

    @property
    def said(self) -> str:
        """What it wrote so far."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """The process of the image's user that descends from ours."""
        found: list[int] = []
        until(lambda: bool(found.extend(_of_user(self._process.pid)) or found), LIMIT_S)
        return found[0]

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Waits for what edged brings about; fails at once when it ends instead."""

        def brought_about() -> bool:
            assert self._process.poll() is None, self.said
            return bool(condition())

        until(brought_about, LIMIT_S)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to edged."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Waits for the end: the exit code."""
        return self._process.wait(LIMIT_S)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            for pid in _of_user(self._process.pid):
                os.kill(pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def _of_user(ancestor: int) -> list[int]:
    """Processes of the image's user below another process, without those that only wait for one (buildah's own)."""
    parents: dict[int, int] = {}
    owned: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        except OSError:
            continue
        if fields["Uid"].split()[0] == str(UID):
            owned.append(int(folder.name))

    def descends(pid: int) -> bool:
        while pid in parents:
            if pid == ancestor:
                return True
            pid = parents[pid]
        return False

    waiting = set(parents.values())
    return [pid for pid in owned if pid not in waiting and descends(pid)]
