"""The packages that all tests here look at.

scripts/test-deb alone runs these tests: it builds the packages and says where they are. Without it they are not
collected, since that takes minutes and root.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

if "EDGED_PACKAGES" not in os.environ:
    collect_ignore_glob = ["test_*.py"]

PYTHONS = {12: "3.11", 13: "3.13"}


@dataclass(frozen=True)
class Package:
    """One .deb."""

    debian: int
    path: Path

    def field(self, name: str) -> str:
        """A control field."""
        return _output("dpkg-deb", "--field", str(self.path), name).strip()

    @cached_property
    def listing(self) -> dict[str, str]:
        """Every path in it without its leading ".", and the mode and owner that tar shows."""
        lines = (line.split(maxsplit=5) for line in _output("dpkg-deb", "--contents", str(self.path)).splitlines())
        return {words[5].removeprefix(".").rstrip("/") or "/": f"{words[0]} {words[1]}" for words in lines}

    def unpack(self, folder: Path) -> Path:
        """Its files, and its control files in DEBIAN/."""
        subprocess.run(["dpkg-deb", "--raw-extract", str(self.path), str(folder)], check=True)
        return folder


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def built(folder: str) -> dict[int, Package]:
    paths = Path(os.environ["EDGED_PACKAGES"], folder).glob("*.deb")
    found = {int(path.stem.split("~deb")[1].split("_")[0]): path for path in paths}
    return {debian: Package(debian, path) for debian, path in sorted(found.items())}


@pytest.fixture(scope="session", params=PYTHONS, ids=lambda debian: f"debian{debian}")
def package(request: pytest.FixtureRequest) -> Package:
    """The package of either Debian."""
    return built("packages")[request.param]


@pytest.fixture(scope="session")
def unpacked(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in it; not to be changed."""
    return package.unpack(tmp_path_factory.mktemp(f"unpacked{package.debian}") / "it")
