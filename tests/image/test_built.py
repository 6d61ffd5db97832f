"""The finished image: what is in it, and that two of them are the same. `scripts/test-image` makes them."""

from __future__ import annotations

import filecmp
import gzip
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.image.built import Image
from tests.image.cpio import unpacked

BOARDS = ("bcm2837-rpi-3-b", "bcm2837-rpi-3-b-plus", "bcm2837-rpi-3-a-plus", "bcm2837-rpi-zero-2-w", "bcm2711-rpi-4-b")
UNITS = "/etc/systemd/system"


@pytest.fixture(scope="module")
def image() -> Image:
    path = os.environ.get("EDGED_IMAGE")
    if not path:
        pytest.skip("no image was made: scripts/test-image")
    return Image(Path(path))


def test_two_builds_are_the_same(image):
    again = os.environ["EDGED_IMAGE_AGAIN"]
    assert filecmp.cmp(image.path, again, shallow=False)


def test_the_table_is_one_that_the_firmware_reads(image):
    assert (image.table["label"], image.table["id"]) == ("dos", "0xed6ed000")
    assert [(part.kind, part.start % (1 << 20)) for part in (image.fat, image.ext4)] == [("c", 0), ("83", 0)]
    assert image.fat.start + image.fat.size == image.ext4.start
    assert image.ext4.start + image.ext4.size == image.path.stat().st_size


def test_both_file_systems_are_sound(image, tmp_path):
    for command, part in ((("fsck.vfat", "-n"), image.fat), (("e2fsck", "-fn"), image.ext4)):
        copied = part.copy(tmp_path / "part")
        done = subprocess.run([*command, copied], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        copied.unlink()


def test_the_firmware_finds_all_that_config_txt_names(image):
    names = image.fat.names()
    config = image.fat.read("config.txt").decode()
    kernel, initrd = (re.search(rf"^{key}[= ](\S+)$", config, re.MULTILINE)[1] for key in ("kernel", "initramfs"))
    assert {
        kernel,
        initrd,
        "cmdline.txt",
        "bootcode.bin",
        "start.elf",
        "fixup.dat",
        "start4.elf",
        "fixup4.dat",
    } <= names
    assert {f"{board}.dtb" for board in BOARDS} <= names
    assert image.fat.read(kernel) == image.ext4.read(f"/boot/{kernel}")
    assert "arm_64bit=1" in config.splitlines()


def test_the_kernel_is_told_where_the_root_is_and_nothing_that_stops_a_pi_4(image):
    words = image.fat.read("cmdline.txt").decode().split()
    assert {"root=LABEL=edgedroot", "ro", "rootwait", "fsck.repair=yes"} <= set(words)
    assert not [word for word in words if word.startswith("cma=")]
    # raspi-firmware's hook reads this file by running it.
    assert image.ext4.read("/etc/default/raspi-firmware").decode().splitlines()[-1] == "exit 0"


def test_the_examples_are_on_the_first_partition_and_no_configuration_is(image):
    names = image.fat.names()
    assert {"edged-example.toml", "wifi.txt", "hostname.txt", "authorized_keys"} <= names
    assert not {"edged.toml", "edged-error.txt"} & names


def test_the_initial_ram_disk_has_what_leads_to_a_card_on_every_board(image):
    (name,) = (name for name in image.fat.names() if name.startswith("initrd.img-"))
    files = unpacked(gzip.decompress(image.fat.read(name)))
    order = files["modules/order"].decode().split()
    assert sorted(f"modules/{module}" for module in order) == sorted(name for name in files if name.endswith(".ko"))
    # The host of the card slot on a 3 and a Zero 2 W, the one on a 4 with its power switches, USB, the file system.
    wanted = (
        "bcm2835",
        "sdhci_iproc",
        "fixed",
        "gpio_regulator",
        "reset_raspberrypi",
        "xhci_pci",
        "usb_storage",
        "ext4",
    )
    assert {f"{module}.ko" for module in wanted} <= set(order)
    # Each comes after what it needs, as the module itself says it.
    for at, module in enumerate(order):
        needs = re.search(rb"\0depends=([^\0]*)\0", files[f"modules/{module}"])[1].decode()
        built_in = {name for name in needs.split(",") if f"{name.replace('-', '_')}.ko" not in order}
        assert {f"{need.replace('-', '_')}.ko" for need in needs.split(",") if need and need not in built_in} <= set(
            order[:at]
        )


def test_every_package_is_configured(image):
    status = image.ext4.read("/var/lib/dpkg/status").decode()
    states = set(re.findall(r"^Status: (.*)$", status, re.MULTILINE))
    assert states == {"install ok installed"}
    names = set(re.findall(r"^Package: (.*)$", status, re.MULTILINE))
    assert {
        "edged",
        "linux-image-arm64",
        "systemd-resolved",
        "wpasupplicant",
        "openssh-server",
        "raspi-firmware",
    } <= names
    assert not {"gcc", "cron", "logrotate", "rsyslog", "unattended-upgrades"} & names


def test_edged_is_installed_and_switched_on(image):
    assert image.ext4.stat("/usr/bin/edged")["mode"] == "0755"
    assert "edged.service" in image.ext4.names(f"{UNITS}/multi-user.target.wants")
    credentials = image.ext4.stat("/etc/edged/credentials")
    assert (credentials["mode"], credentials["user"]) == ("0700", "0")
    assert "edged.toml" not in image.ext4.names("/etc/edged")
    assert re.search(r"^edged:", image.ext4.read("/etc/passwd").decode(), re.MULTILINE)


def test_nothing_is_the_same_on_two_boards_that_must_not_be(image):
    assert image.ext4.read("/etc/machine-id") == b""
    assert not [name for name in image.ext4.names("/etc/ssh") if name.startswith("ssh_host_")]
    assert "random-seed" not in image.ext4.names("/var/lib/systemd")
    assert image.ext4.read("/etc/hostname") == b"edged\n"


def test_nobody_has_a_password(image):
    shadow = image.ext4.read("/etc/shadow").decode()
    assert {line.split(":")[1] for line in shadow.splitlines()} <= {"*", "!", "!*"}
    assert image.ext4.names("/root/.ssh") == set()


def test_nothing_writes_by_the_clock(image):
    for timer in ("apt-daily", "apt-daily-upgrade", "dpkg-db-backup", "e2scrub_all"):
        assert image.ext4.stat(f"{UNITS}/{timer}.timer")["link"] == "/dev/null"
    assert b"Storage=volatile" in image.ext4.read("/etc/systemd/journald.conf.d/50-edged.conf")
    assert b"noatime" in image.ext4.read("/etc/fstab")


@pytest.mark.parametrize(
    "link",
    [
        "multi-user.target.wants/edged-import.service",
        "systemd-growfs-root.service.wants/edged-grow.service",
        "multi-user.target.wants/systemd-networkd.service",
        "sysinit.target.wants/systemd-resolved.service",
        "sysinit.target.wants/systemd-timesyncd.service",
    ],
)
def test_what_the_board_needs_is_switched_on(image, link):
    assert image.ext4.stat(f"{UNITS}/{link}")["link"].endswith(link.rpartition("/")[2])


def test_files_have_their_rights(image):
    for path, mode in (
        ("/etc/fstab", "0644"),
        ("/usr/lib/edged-image/grow", "0755"),
        ("/usr/lib/edged-image/edged_import/__main__.py", "0644"),
        ("/etc/kernel/postinst.d/zz-edged-boot", "0755"),
        ("/tmp", "01777"),
        ("/root", "0700"),
    ):
        found = image.ext4.stat(path)
        assert (path, found["mode"], found["user"], found["group"]) == (path, mode, "0", "0")
