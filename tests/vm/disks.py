"""The disks beside the root disk. The one with the checkout is made anew for each run: what lies here is tested.

python -m tests.vm.disks FOLDER FILE      makes FILE, an ext4 file system with what is in FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REPO = HERE.parents[1]
COMPARED_BYTES = 1 << 20


def checkout_disk(system: Path, folder: Path) -> Path:
    """An ext4 file with what git tracks or would track, and byte-code for the machine's Python.

    Args:
        system: the folder that `tests/vm/build` made.
        folder: an empty one.
    """
    tree, disk = folder / "checkout", folder / "checkout.ext4"
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=REPO, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (REPO / name).is_file():  # git still lists what was just deleted
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, tree / name)
    tree.chmod(0o755)
    subprocess.run([HERE / "compile", system / "native", tree, tree], check=True)
    format_disk(tree, disk)
    shutil.rmtree(tree)
    return disk


def format_disk(tree: Path, disk: Path) -> None:
    """Makes an ext4 file that is just large enough for a tree, which keeps its owners and modes."""
    size_kib = int(subprocess.run(["du", "-sk", tree], check=True, capture_output=True, text=True).stdout.split()[0])
    command = ["mke2fs", "-q", "-t", "ext4", "-d", tree, disk, f"{size_kib * 5 // 4 + 8192}k"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def copy_disk(disk: Path, copy: Path) -> None:
    """A copy that shares what the file system can share, and has holes where the disk has them."""
    subprocess.run(["cp", "--sparse=auto", "--reflink=auto", disk, copy], check=True)


def make_equal(disk: Path, model: Path) -> None:
    """Writes to a disk what it has otherwise than its model, of the same size; most of it is only read."""
    with disk.open("r+b", buffering=0) as changed, model.open("rb", buffering=0) as wanted:
        at = 0
        while data := wanted.read(COMPARED_BYTES):
            if changed.read(len(data)) != data:
                changed.seek(at)
                changed.write(data)
            at += len(data)


def take_partition(disk: Path, offset_bytes: int, file: Path) -> None:
    """A file of its own for what is on a disk from there on; holes stay holes."""
    if not offset_bytes:
        copy_disk(disk, file)
        return
    options = ("bs=1M", "conv=sparse", "iflag=skip_bytes", "status=none")
    subprocess.run(["dd", f"if={disk}", f"of={file}", f"skip={offset_bytes}", *options], check=True)


if __name__ == "__main__":
    format_disk(Path(sys.argv[1]), Path(sys.argv[2]))
