"""The card of a board: an image of `image/build` in a file of its own, read and written without mounting it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.vm import initrd

SECTOR_BYTES = 512
FAT, ROOT = 0, 1


class Card:
    """A file with the partitions of the image: FAT for people, ext4 for the system.

    Args:
        file: an image, or a copy of one.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        table = json.loads(_output("sfdisk", "--json", file))["partitiontable"]["partitions"]
        self._offsets = [partition["start"] * SECTOR_BYTES for partition in table]

    def copy(self, file: Path) -> Card:
        """Another card with the same on it; holes stay holes."""
        _output("cp", "--sparse=always", "--reflink=auto", self.file, file)
        return Card(file)

    def put(self, name: str, text: str, folder: Path) -> None:
        """Writes a file into the FAT partition, as a person does before the card goes into the board."""
        (folder / name).write_text(text, encoding="utf-8")
        _output("mcopy", "-o", "-i", self._fat, folder / name, f"::{name}")

    def boot_file(self, name: str) -> bytes:
        """A file of the FAT partition."""
        return subprocess.run(["mtype", "-i", self._fat, f"::{name}"], check=True, capture_output=True).stdout

    def read(self, path: str, folder: Path) -> bytes:
        """A file of the root partition.

        Raises:
            FileNotFoundError: there is none.
        """
        return read(f"{self.file}?offset={self._offsets[ROOT]}", path, folder)

    def names(self, path: str) -> list[str]:
        """What is in a folder of the root partition."""
        listing = _output("debugfs", "-R", f"ls -p {path}", f"{self.file}?offset={self._offsets[ROOT]}")
        names = [line.split("/")[5] for line in listing.splitlines() if line.startswith("/")]
        return [name for name in names if name not in (".", "..")]

    @property
    def root_offset_bytes(self) -> int:
        """Where the root partition begins in the file."""
        return self._offsets[ROOT]

    @property
    def _fat(self) -> str:
        return f"{self.file}@@{self._offsets[FAT]}"


def read(disk: Path | str, path: str, folder: Path) -> bytes:
    """A file of an ext4 file system that is not mounted."""
    copy = folder / "dumped"
    copy.unlink(missing_ok=True)
    _output("debugfs", "-R", f"dump {path} {copy}", str(disk))
    return copy.read_bytes()


def take_kernel(card: Card, tools: Path, folder: Path) -> tuple[Path, Path]:
    """The image's own kernel, and a small initial RAM disk with the image's own modules.

    Args:
        tools: a disk that has busybox.
        folder: where the two files are written.
    """
    kernel, disk = folder / "vmlinuz", folder / "initrd"
    release = max(card.names("/usr/lib/modules"))
    kernel.write_bytes(card.read(f"/boot/vmlinuz-{release}", folder))
    busybox = read(tools, "/usr/bin/busybox", folder)
    modules = f"/usr/lib/modules/{release}"
    disk.write_bytes(b"".join(initrd.archive(busybox, lambda file: card.read(f"{modules}/{file}", folder))))
    return kernel, disk


def _output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
