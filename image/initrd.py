"""Makes the initial RAM disk of the image: busybox, and the kernel modules that lead to the root file system.

    initrd.py ROOT OUT      ROOT: the tree of the image with one kernel; OUT: the archive

Which modules a board needs stands in its device tree: whatever drives a node of it, in the rooms of the kernel that
a disk's way leads through. Debian's own has 36 MB and takes minutes to make where this is made in a second. The same
tree gives the same bytes.
"""

from __future__ import annotations

import gzip
import lzma
import re
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

BOARDS = ("bcm2711-*.dtb", "bcm2837-*.dtb")
"""The device trees of the Raspberry Pi 3, 4 and Zero 2 W, and of their compute modules."""

ROOMS = re.compile(
    r"kernel/drivers/(bus|clk|dma|firmware|gpio|mailbox|mfd|mmc|pci|phy|pinctrl|pmdomain|regulator|reset|soc|usb)/"
)
"""Where a driver lives that stands between the processor and a disk."""

WANTED = (
    # The watchdog, so that systemd finds it when it starts.
    "bcm2835_wdt",
    # Disks on USB. On a Raspberry Pi 4 they are behind PCI.
    "xhci_pci",
    "sd_mod",
    "usb_storage",
    "uas",
    # The disk of a virtual machine: it tests the image as it is.
    "virtio_blk",
    # The file system and its checksums.
    "crc32c_generic",
    "ext4",
)
"""What no device tree names."""

INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs devtmpfs /dev
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
mode=ro init=/sbin/init root=
for word in $($b cat /proc/cmdline); do
    case $word in
        root=*) root=${word#root=} ;;
        init=*) init=${word#init=} ;;
        ro | rw) mode=$word ;;
    esac
done
for module in $($b cat /modules/order); do $b insmod "/modules/$module" || echo "initrd: $module was refused"; done
tries=0
while :; do
    case $root in LABEL=* | UUID=*) disk=$($b findfs "$root" 2>/dev/null) ;; *) disk=$root ;; esac
    [ -b "$disk" ] && $b mount -t ext4 -o "$mode" "$disk" /root && break
    tries=$((tries + 1))
    if [ $tries -ge 600 ]; then
        echo "initrd: expected a root file system at root=$root, found none in a minute; starting again"
        $b cat /proc/partitions
        $b sleep 10
        $b reboot -f
    fi
    $b sleep 0.1
done
for folder in dev proc sys; do $b mount -o move /$folder /root/$folder; done
exec $b switch_root /root "$init"
"""


def compatible(tree: bytes) -> set[str]:
    """What the nodes of a flattened device tree call themselves, by the Devicetree Specification 0.4, chapter 5."""
    magic, _, structs, strings = struct.unpack_from(">4I", tree)
    if magic != 0xD00DFEED:
        raise ValueError("no flattened device tree")
    names: set[str] = set()
    at = structs
    while True:
        (token,) = struct.unpack_from(">I", tree, at)
        at += 4
        if token == 1:  # a node begins, with its name
            at = _aligned(tree.index(b"\0", at) + 1)
        elif token == 3:  # a property: its length, where its name stands, its value
            length, name = struct.unpack_from(">2I", tree, at)
            if tree[strings + name :].startswith(b"compatible\0"):
                names.update(tree[at + 8 : at + 8 + length - 1].decode().split("\0"))
            at = _aligned(at + 8 + length)
        elif token == 9:
            return names


def _aligned(at: int) -> int:
    return (at + 3) & ~3


class Modules:
    """The modules of one kernel.

    Args:
        folder: /usr/lib/modules/RELEASE, with what depmod(8) has made of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = (folder / "modules.dep").read_text(encoding="utf-8").splitlines()
        self._needs = {file: needs.split() for file, _, needs in (line.partition(":") for line in lines)}
        self._files = {_name(file): file for file in self._needs}
        self._drivers: dict[str, set[str]] = {}
        for line in (folder / "modules.alias").read_text(encoding="utf-8").splitlines():
            if found := re.fullmatch(r"alias of:N\*T\*C([^*]+?)(?:C?\*)? (\S+)", line):
                self._drivers.setdefault(found[1], set()).add(found[2].replace("-", "_"))

    def drivers(self, nodes: Iterable[str]) -> list[str]:
        """The modules in ROOMS that drive such nodes, sorted."""
        names = {driver for node in nodes for driver in self._drivers.get(node, ())}
        return sorted(name for name in names if ROOMS.match(self._files.get(name, "")))

    def in_order(self, wanted: Iterable[str]) -> list[str]:
        """The files of the wanted modules and of all that they need, in the order in which they can be loaded.

        A module that this kernel does not have as a file is taken for built in.
        """
        order: list[str] = []
        for name in wanted:
            if file := self._files.get(name):
                order += [one for one in (*reversed(self._needs[file]), file) if one not in order]
        return order


def _name(file: str) -> str:
    return Path(file).name.partition(".")[0].replace("-", "_")


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One entry of a cpio archive in the format "newc", owned by root and without a time."""
    encoded = name.encode() + b"\0"
    #        inode mode uid gid links mtime size, the device it is on, the device it is, name's size, checksum
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(root: Path) -> Iterator[bytes]:
    """The entries, for the tree's kernel and all boards."""
    (folder,) = (root / "usr/lib/modules").iterdir()
    trees = [tree for board in BOARDS for tree in (root / f"usr/lib/linux-image-{folder.name}/broadcom").glob(board)]
    modules = Modules(folder)
    drivers = modules.drivers({name for tree in trees for name in compatible(tree.read_bytes())})
    for name in ("bin", "dev", "modules", "proc", "root", "sys"):
        yield entry(name, stat.S_IFDIR | 0o755)
    yield entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    yield entry("bin/busybox", stat.S_IFREG | 0o755, (root / "usr/bin/busybox").read_bytes())
    yield entry("init", stat.S_IFREG | 0o755, INIT.encode())
    order = modules.in_order((*drivers, *WANTED))
    for file in order:
        data = (folder / file).read_bytes()
        plain = lzma.decompress(data) if file.endswith(".xz") else data
        yield entry(f"modules/{_name(file)}.ko", stat.S_IFREG | 0o644, plain)
    yield entry("modules/order", stat.S_IFREG | 0o644, "\n".join(f"{_name(file)}.ko" for file in order).encode())
    yield entry("TRAILER!!!", 0)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(gzip.compress(b"".join(archive(Path(sys.argv[1]))), mtime=0))
