"""What is in the package, what it says of itself, and that it brings or asks for all that it needs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import edged
from tests.deb.conftest import PYTHONS, built

ROOT = Path(__file__).parents[2]
LIBRARY = "/usr/lib/edged"
# The system's libraries, and the packages that have them.
OF_PACKAGE = {
    **dict.fromkeys(("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"), "libc6"),
    "ld-linux-aarch64.so.1": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
    "libstdc++.so.6": "libstdc++6",
    "libz.so.1": "zlib1g",
}


def test_it_has_what_the_other_parts_rely_on(package):
    expected = {
        "/usr/bin/edged": "-rwxr-xr-x root/root",
        "/usr/sbin/edged-lock": "-rwxr-xr-x root/root",
        "/usr/lib/systemd/system/edged.service": "-rw-r--r-- root/root",
        "/usr/lib/systemd/system/edged@.service": "-rw-r--r-- root/root",
        "/usr/lib/sysusers.d/edged.conf": "-rw-r--r-- root/root",
        "/usr/share/edged/edged.toml": "-rw-r--r-- root/root",
        "/usr/share/edged/20-csi-camera.conf": "-rw-r--r-- root/root",
        f"{LIBRARY}/edged/cli/run.py": "-rw-r--r-- root/root",
        f"{LIBRARY}/edged/models/efficientnet-lite0-int8/model.tflite": "-rw-r--r-- root/root",
    }
    assert {path: package.listing.get(path) for path in expected} == expected


def test_nothing_lies_where_people_or_the_service_write(package):
    assert not [path for path in package.listing if path != "/" and not path.startswith("/usr")]
    assert {mode.split()[1] for mode in package.listing.values()} == {"root/root"}
    assert {mode.split()[0] for mode in package.listing.values()} <= {"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"}


def test_both_units_are_the_checkout_s(unpacked):
    unit = (ROOT / "systemd" / "edged.service").read_bytes()
    assert {
        (unpacked / "usr/lib/systemd/system" / name).read_bytes() for name in ("edged.service", "edged@.service")
    } == {unit}


def test_the_control_fields(package):
    python = PYTHONS[package.debian]
    major, minor = python.split(".")
    assert package.field("Package") == "edged"
    assert package.field("Architecture") == "arm64"
    assert package.field("Version") == f"{edged.__version__}~deb{package.debian}"
    depends = package.field("Depends").split(", ")
    assert f"python3 (>= {python})" in depends
    assert f"python3 (<< {major}.{int(minor) + 1})" in depends
    assert "debconf" not in package.field("Depends") + package.field("Recommends")


def test_a_system_that_becomes_debian_13_takes_the_newer_package():
    versions = [built("packages")[debian].field("Version") for debian in (12, 13)]
    assert subprocess.run(["dpkg", "--compare-versions", versions[0], "lt", versions[1]]).returncode == 0
    release = edged.__version__
    assert subprocess.run(["dpkg", "--compare-versions", versions[1], "lt", f"{release}.1~deb12"]).returncode == 0


def test_every_library_is_in_the_package_or_in_one_that_it_depends_on(package, unpacked):
    libraries = [path for path in unpacked.rglob("*.so*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    assert len(libraries) > 50
    printed = subprocess.run(
        ["readelf", "-dW", *map(str, libraries)], check=True, capture_output=True, text=True
    ).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", printed))
    outside = needed - {path.name for path in libraries}
    depends = {word.split()[0] for word in package.field("Depends").split(", ")}
    assert {OF_PACKAGE.get(name, name) for name in outside} <= depends


def test_every_library_is_arm64(unpacked):
    # Byte 18 of an ELF file is its machine: 183 is AArch64.
    heads = {path.read_bytes()[:20] for path in unpacked.rglob("*.so*") if path.is_file()}
    assert {head[18] for head in heads if head[:4] == b"\x7fELF"} == {183}


def test_byte_code_is_there_for_every_module_and_is_never_made_again(package, unpacked):
    tag = f"cpython-{PYTHONS[package.debian].replace('.', '')}"
    library = unpacked / LIBRARY[1:]
    sources = [path for path in library.rglob("*.py") if path.stat().st_size]
    missing = [p for p in sources if not (p.parent / "__pycache__" / f"{p.stem}.{tag}.pyc").exists()]
    # A template of ai-edge-litert or another file that no Python can compile would stand here.
    assert not missing
    # Flags 0b01: checked against nothing, whatever the times of the files are (PEP 552).
    assert {path.read_bytes()[4:8] for path in library.rglob("*.pyc")} == {b"\x01\0\0\0"}


def test_nothing_that_nobody_needs(unpacked):
    library = unpacked / LIBRARY[1:]
    patterns = (line.strip() for line in (ROOT / "packaging" / "not-needed.txt").read_text().splitlines())
    kept = [
        p
        for p in patterns
        if p
        and not p.startswith("#")
        and subprocess.run(
            ["find", str(library), "-path", f"{library}/{p}"], check=True, capture_output=True, text=True
        ).stdout
    ]
    assert not kept
    assert any(library.glob("numpy-*.dist-info/licenses/**/LICENSE*")) or any(
        library.glob("numpy-*.dist-info/LICENSE*")
    )


def test_what_is_in_it_is_named_with_its_licence(unpacked):
    text = (unpacked / "usr/share/doc/edged/copyright").read_text(encoding="utf-8")
    for info in (unpacked / LIBRARY[1:]).glob("*.dist-info"):
        assert info.name.startswith("edged-") or f"{LIBRARY}/{info.name}" in text
    assert "licence: see the folder" not in text


def test_no_script_asks_or_needs_the_network(unpacked):
    for name in ("preinst", "postinst", "prerm", "postrm"):
        script = (unpacked / "DEBIAN" / name).read_text(encoding="utf-8")
        assert not re.search(r"debconf|db_|curl|wget|pip|apt", script)
        subprocess.run(["sh", "-n", str(unpacked / "DEBIAN" / name)], check=True)


def test_lintian_finds_nothing_that_is_not_explained(package):
    printed = subprocess.run(
        ["lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", str(package.path)],
        capture_output=True,
        text=True,
    )
    assert printed.returncode == 0, printed.stdout + printed.stderr


def test_the_same_checkout_makes_the_same_bytes():
    again = built("again")
    assert again
    for debian, package in again.items():
        assert package.path.read_bytes() == built("packages")[debian].path.read_bytes()


def test_no_path_of_the_machine_that_made_it(unpacked):
    words = [str(ROOT).encode(), b"/root/.cache", b"/tmp/tmp."]
    for path in (p for p in unpacked.rglob("*") if p.is_file()):
        data = path.read_bytes()
        assert not [word for word in words if word in data], path
