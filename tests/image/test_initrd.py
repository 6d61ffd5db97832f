"""The initial RAM disk: which modules, in which order, from what a board's device tree says."""

from __future__ import annotations

import lzma
import struct
import subprocess
from pathlib import Path

import initrd
import pytest

from tests.image.cpio import unpacked


def tree(*nodes: tuple[str, ...]) -> bytes:
    """A flattened device tree: a root with these nodes, each with what it is compatible to."""
    strings = b"reg\0compatible\0"

    def word(*values: int) -> bytes:
        return struct.pack(f">{len(values)}I", *values)

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    body = word(1) + padded(b"\0")
    for number, names in enumerate(nodes):
        value = b"".join(name.encode() + b"\0" for name in names)
        body += word(1) + padded(f"node@{number}".encode() + b"\0")
        body += word(3, 4, 0) + word(number) + word(4)
        body += word(3, len(value), 4) + padded(value) + word(2)
    body += word(2, 9)
    head = 40
    return (
        word(0xD00DFEED, head + len(body) + len(strings), head, head + len(body), head, 17, 16, 0, 0, 0)
        + body
        + strings
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with a kernel of a few modules, each of which holds its own name."""
    folder = tmp_path / "usr/lib/modules/6.12"
    needs = {
        "kernel/drivers/mmc/host/sdhci-iproc.ko.xz": (
            "kernel/drivers/mmc/host/sdhci-pltfm.ko.xz",
            "kernel/drivers/mmc/host/sdhci.ko",
        ),
        "kernel/drivers/mmc/host/sdhci-pltfm.ko.xz": ("kernel/drivers/mmc/host/sdhci.ko",),
        "kernel/drivers/mmc/host/sdhci.ko": (),
        "kernel/drivers/gpu/drm/vc4/vc4.ko.xz": (),
        "kernel/fs/ext4/ext4.ko.xz": ("kernel/fs/jbd2/jbd2.ko.xz",),
        "kernel/fs/jbd2/jbd2.ko.xz": (),
    }
    for file in needs:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        data = Path(file).name.encode()
        (folder / file).write_bytes(lzma.compress(data) if file.endswith(".xz") else data)
    (folder / "modules.dep").write_text("".join(f"{file}: {' '.join(more)}\n" for file, more in needs.items()))
    (folder / "modules.alias").write_text(
        "# Aliases extracted from modules themselves.\n"
        "alias of:N*T*Cbrcm,bcm2835-sdhciC* sdhci_iproc\n"
        "alias of:N*T*Cbrcm,bcm2835-sdhci sdhci_iproc\n"
        "alias of:N*T*Cbrcm,bcm2835-vc4C* vc4\n"
        "alias usb:v0424pEC00d* smsc95xx\n"
    )
    boards = tmp_path / "usr/lib/linux-image-6.12/broadcom"
    boards.mkdir(parents=True)
    (boards / "bcm2837-rpi-3-b.dtb").write_bytes(
        tree(("brcm,bcm2835-vc4",), ("brcm,bcm2836-sdhci", "brcm,bcm2835-sdhci"))
    )
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/busybox").write_bytes(b"busybox")
    return tmp_path


def test_a_device_tree_is_read():
    assert initrd.compatible(tree(("a,b", "c"), ("d",))) == {"a,b", "c", "d"}


def test_what_is_no_device_tree_is_refused():
    with pytest.raises(ValueError, match="no flattened device tree"):
        initrd.compatible(b"\0" * 64)


def test_drivers_of_the_boards_nodes_and_no_others(root):
    modules = initrd.Modules(root / "usr/lib/modules/6.12")
    assert modules.drivers({"brcm,bcm2835-sdhci", "brcm,bcm2835-vc4", "unknown"}) == ["sdhci_iproc"]


def test_modules_come_after_what_they_need(root):
    files = unpacked(b"".join(initrd.archive(root)))
    order = ["sdhci.ko", "sdhci_pltfm.ko", "sdhci_iproc.ko", "jbd2.ko", "ext4.ko"]
    assert files["modules/order"].decode().split("\n") == order
    assert files["modules/sdhci_iproc.ko"] == b"sdhci-iproc.ko.xz"
    assert files["modules/sdhci.ko"] == b"sdhci.ko"
    assert files["bin/busybox"] == b"busybox"


def test_the_same_tree_makes_the_same_bytes(root):
    assert b"".join(initrd.archive(root)) == b"".join(initrd.archive(root))


def test_its_first_program_is_a_shell_script(tmp_path):
    script = tmp_path / "init"
    script.write_text(initrd.INIT)
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
