"""Makes the initial RAM disk: busybox, the kernel modules that find an ext4 root disk on virtio, and nothing else.

    initrd.py ROOT RELEASE OUT      ROOT: an unpacked Debian with its kernel RELEASE; OUT: the archive

The kernel's word `root=serial:NAME` says which disk it is, or `root=serial:NAME:2` which partition of it: Linux numbers
virtio disks in an order of its own.
Debian's own has 36 MB, most of it drivers, and takes minutes to make and to start under emulation.
"""

from __future__ import annotations

import lzma
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

WANTED = ("virtio_blk", "crc32c_generic", "ext4")

INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs devtmpfs /dev
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
for module in $($b cat /modules/order); do $b insmod "/modules/$module" || echo "initrd: $module was refused"; done
for word in $($b cat /proc/cmdline); do case $word in root=serial:*) serial=${word#root=serial:} ;; esac; done
case $serial in *:*) partition=${serial#*:} serial=${serial%:*} ;; esac
tries=0
while [ -z "$root" ] && [ $tries -lt 600 ]; do
    for disk in /sys/block/vd*; do
        if [ "$($b cat "$disk/serial")" = "$serial" ]; then root=/dev/${disk##*/}$partition; fi
    done
    [ "$root" ] || $b sleep 0.1
    tries=$((tries + 1))
done
$b mount -t ext4 "$root" /root || echo "initrd: the disk $serial cannot be mounted"
for folder in dev proc sys; do $b mount -o move /$folder /root/$folder; done
exec $b switch_root /root /sbin/init
"""


def in_order(dependencies: str, wanted: tuple[str, ...]) -> list[str]:
    """The files of the wanted modules and of all that they need, in the order in which they can be loaded.

    A module that this kernel does not have as a file is taken for built in.

    Args:
        dependencies: what each module file needs, the deepest last: modules.dep(5).
    """
    lines = (line.partition(":") for line in dependencies.splitlines())
    needs = {file: others.split() for file, _, others in lines}
    files = {Path(file).name.partition(".")[0].replace("-", "_"): file for file in needs}
    order: list[str] = []
    for name in wanted:
        if name in files:
            order += [file for file in (*reversed(needs[files[name]]), files[name]) if file not in order]
    return order


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One entry of a cpio archive in the format "newc", owned by root and without a time."""
    encoded = name.encode() + b"\0"
    #        inode mode uid gid links mtime size, the device it is on, the device it is, name's size, checksum
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(busybox: bytes, module: Callable[[str], bytes]) -> Iterator[bytes]:
    """The entries.

    Args:
        busybox: the program, linked statically.
        module: the content of a file, by its path below the folder of the kernel's modules.
    """
    for folder in ("bin", "dev", "modules", "proc", "root", "sys"):
        yield entry(folder, stat.S_IFDIR | 0o755)
    yield entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    yield entry("bin/busybox", stat.S_IFREG | 0o755, busybox)
    yield entry("init", stat.S_IFREG | 0o755, INIT.encode())
    order = in_order(module("modules.dep").decode(), WANTED)
    names = [Path(file).name.removesuffix(".xz") for file in order]
    for file, name in zip(order, names, strict=True):
        data = module(file)
        yield entry(f"modules/{name}", stat.S_IFREG | 0o644, lzma.decompress(data) if file.endswith(".xz") else data)
    yield entry("modules/order", stat.S_IFREG | 0o644, "\n".join(names).encode())
    yield entry("TRAILER!!!", 0)


def main() -> None:
    root, release, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    modules = root / "usr/lib/modules" / release
    busybox = (root / "usr/bin/busybox").read_bytes()
    out.write_bytes(b"".join(archive(busybox, lambda file: (modules / file).read_bytes())))


if __name__ == "__main__":
    main()
