"""Reads a finished image without mounting it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

SECTOR = 512


def run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


class Partition:
    """One partition, by its place in the image, in bytes."""

    def __init__(self, image: Path, start: int, size: int, kind: str) -> None:
        self.image, self.start, self.size, self.kind = image, start, size, kind

    def copy(self, to: Path) -> Path:
        """Its bytes in a file of their own, holes kept."""
        run(
            "dd",
            f"if={self.image}",
            f"of={to}",
            "bs=1M",
            f"skip={self.start >> 20}",
            f"count={self.size >> 20}",
            "conv=sparse",
        )
        return to


class Fat(Partition):
    def names(self, folder: str = "") -> set[str]:
        listing = run("mdir", "-b", "-i", f"{self.image}@@{self.start}", f"::/{folder}").decode()
        return {line.rstrip("/").rpartition("/")[2] for line in listing.splitlines()}

    def read(self, name: str) -> bytes:
        return run("mtype", "-i", f"{self.image}@@{self.start}", f"::/{name}")


class Ext4(Partition):
    def _debugfs(self, request: str) -> bytes:
        return run("debugfs", "-R", request, f"{self.image}?offset={self.start}")

    def read(self, path: str) -> bytes:
        return self._debugfs(f'cat "{path}"')

    def names(self, folder: str) -> set[str]:
        return {line.split("/")[5] for line in self._debugfs(f'ls -p "{folder}"').decode().splitlines() if line} - {
            ".",
            "..",
        }

    def stat(self, path: str) -> dict[str, str]:
        """Mode, owner, group and the target of a link, as debugfs prints them; empty where there is nothing."""
        told = self._debugfs(f'stat "{path}"').decode()
        found = re.search(r"Mode:\s+(\d+)[\s\S]*?User:\s+(\d+)\s+Group:\s+(\d+)", told)
        if found is None:
            return {}
        link = re.search(r'Fast link dest: "(.*)"', told)
        return {"mode": found[1], "user": found[2], "group": found[3], "link": link[1] if link else ""}


class Image:
    """An image with its table of partitions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table = json.loads(run("sfdisk", "--json", path))["partitiontable"]
        first, second = self.table["partitions"]
        self.fat = Fat(path, first["start"] * SECTOR, first["size"] * SECTOR, first["type"])
        self.ext4 = Ext4(path, second["start"] * SECTOR, second["size"] * SECTOR, second["type"])
