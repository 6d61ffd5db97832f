"""edged put into a Raspberry Pi OS: a miniature of one, because none can be downloaded where the tests run."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from tests.image.built import Image, run

BUILD = Path(__file__).parents[2] / "image/build"
MIB = 1 << 20


@pytest.fixture(scope="module")
def deb() -> str:
    path = os.environ.get("EDGED_DEB")
    if not path:
        pytest.skip("no package was made: scripts/test-image")
    return path


@pytest.fixture
def raspios(tmp_path: Path) -> Callable[..., Path]:
    """Makes a miniature: the partitions of the real one, and of its files those that tell what it is."""

    def make(
        codename: str = "trixie", boot: tuple[str, ...] = ("kernel8.img", "meta-data", "user-data", "network-config")
    ) -> Path:
        image, fat, ext4, tree = (tmp_path / name for name in ("raspios.img", "fat", "ext4", "tree"))
        (tree / "etc").mkdir(parents=True)
        (tree / "etc/os-release").write_text(f'PRETTY_NAME="Debian GNU/Linux"\nVERSION_CODENAME={codename}\n')
        sizes = {fat: 128 * MIB, ext4: 16 * MIB, image: (4 + 128 + 16) * MIB}
        for path, size in sizes.items():
            path.touch()
            os.truncate(path, size)
        run("mkfs.vfat", "-F", "32", "-n", "bootfs", fat)
        for name in boot:
            (tmp_path / name).write_text(f"the {name} of Raspberry Pi OS\n")
            run("mcopy", "-i", fat, tmp_path / name, "::/")
        run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", "-d", tree, ext4)
        table = "label: dos\nstart=4MiB, size=128MiB, type=c\nstart=132MiB, size=16MiB, type=83\n"
        subprocess.run(["sfdisk", "--quiet", image], input=table.encode(), check=True)
        for part, seek in ((fat, 4), (ext4, 132)):
            run("dd", f"if={part}", f"of={image}", "bs=1M", f"seek={seek}", "conv=notrunc,sparse")
        return image

    return make


def build(raspios: Path, deb: str, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUILD, "--deb", deb, "--raspios", raspios, out], check=False, capture_output=True, text=True)


def test_the_package_is_put_where_cloud_init_installs_it(raspios, deb, tmp_path):
    made = raspios()
    before = Image(made)
    done = build(made, deb, tmp_path / "out.img")
    assert done.returncode == 0, done.stderr
    after = Image(tmp_path / "out.img")
    assert after.fat.names() == before.fat.names() | {"edged", "vendor-data", "edged-example.toml"}
    assert after.fat.read("edged/edged.deb") == Path(deb).read_bytes()
    assert after.fat.read("vendor-data").startswith(b"#!/bin/sh\n")
    assert after.fat.read("user-data") == before.fat.read("user-data")
    assert after.ext4.copy(tmp_path / "a").read_bytes() == before.ext4.copy(tmp_path / "b").read_bytes()
    run("fsck.vfat", "-n", after.fat.copy(tmp_path / "fat"))


def test_the_import_that_is_put_there_is_whole(raspios, deb, tmp_path):
    assert build(raspios(), deb, tmp_path / "out.img").returncode == 0
    data = Image(tmp_path / "out.img").fat.read("edged/import.tar")
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        archive.extractall(tmp_path / "tree", filter="fully_trusted")
    env = {"PYTHONPATH": str(tmp_path / "tree/usr/lib/edged-image"), "PATH": os.environ["PATH"]}
    run("env", "-i", *(f"{key}={value}" for key, value in env.items()), "python3", "-c", "import edged_import.__main__")
    unit = tmp_path / "tree/usr/lib/systemd/system"
    assert (unit / "edged-import.service").is_file()
    assert "edged_import edged.toml" in (unit / "edged-import.service.d/50-raspios.conf").read_text()


def test_the_same_inputs_make_the_same_bytes(raspios, deb, tmp_path):
    made = raspios()
    for name in ("one.img", "two.img"):
        assert build(made, deb, tmp_path / name).returncode == 0
    assert (tmp_path / "one.img").read_bytes() == (tmp_path / "two.img").read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"codename": "bookworm"}, "expected Raspberry Pi OS of Debian 13 (trixie), found bookworm"),
        ({"boot": ("kernel8.img",)}, "found no meta-data"),
        ({"boot": ("kernel7.img", "meta-data", "user-data")}, "found no kernel8.img"),
        (
            {"boot": ("kernel8.img", "meta-data", "user-data", "vendor-data")},
            "has vendor-data on its first partition already",
        ),
    ],
)
def test_another_system_is_refused_with_the_reason(raspios, deb, tmp_path, options, sentence):
    done = build(raspios(**options), deb, tmp_path / "out.img")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (tmp_path / "out.img").exists()


def test_what_is_no_image_is_refused(deb, tmp_path):
    (tmp_path / "no.img").write_bytes(bytes(MIB))
    done = build(tmp_path / "no.img", deb, tmp_path / "out.img")
    assert done.returncode == 1
    assert "expected a Raspberry Pi OS with two partitions, found none" in done.stderr
