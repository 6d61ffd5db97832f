"""The container image: what is in it and what is not, and edged at work in it."""

from __future__ import annotations

import os
import re
import signal

import pytest

from edged import __version__
from tests.container.image import UID, Service, run
from tests.daemon import Listener, write_config
from tests.drawn import story_clip

COMPILERS = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|clang|ld|as|make|cmake|ninja|rustc|cargo|go)(-[\d.]+)?$")
LEFTOVERS = ("source", "wheels", "root/.cache", "etc/pip.conf", "run/secrets/pip-ca.pem")
RULES = [{"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.5}]


def header(path):
    with path.open("rb") as file:
        return file.read(20)


@pytest.fixture
def config(container, mosquitto, prefix):
    """A clip in which a circle comes and goes for ever, and a configuration that looks at it."""
    story_clip(container.etc / "clip.avi", [("background", 10), ("circle", 15)])
    return write_config(container.etc / "edged.toml", "file:/etc/edged/clip.avi", mosquitto.port, prefix, RULES, fps=5)


def test_the_image_says_what_it_is(image):
    assert (image.described["architecture"], image.described["os"]) == ("arm64", "linux")
    labels = {key.rpartition(".")[2]: value for key, value in image.config["Labels"].items()}
    assert (labels["title"], labels["licenses"]) == ("edged", "Apache-2.0")
    assert image.config["User"] == "edged"
    assert list(image.config["Volumes"]) == ["/var/lib/edged"]
    assert not image.config.get("ExposedPorts"), "edged listens on nothing"


def test_no_compiler_and_no_leftover_of_the_build_is_in_it(container):
    folders = ("usr/bin", "usr/sbin", "usr/local/bin", "opt/edged/bin", "usr/libexec")
    programs = [path.name for folder in folders for path in container.root.joinpath(folder).glob("*")]
    assert "python3" in programs
    assert [name for name in programs if COMPILERS.fullmatch(name)] == []
    assert [name for name in LEFTOVERS if (container.root / name).exists()] == []
    # Nothing is compiled when it runs, and nothing was for another processor.
    built = [path for path in container.root.glob("opt/edged/**/*.so*") if path.is_file() and not path.is_symlink()]
    assert built
    assert [path for path in built if header(path)[:4] != b"\x7fELF"] == []
    assert {int.from_bytes(header(path)[18:20], "little") for path in built} == {183}, "elf.h: EM_AARCH64"


def test_licences_are_in_it(container):
    licences = list(container.root.glob("opt/edged/edged-*.dist-info/licenses/**/LICEN[SC]E*"))
    assert any("Apache License" in path.read_text(encoding="utf-8") for path in licences)
    assert list(container.root.glob("opt/edged/edged/models/*/LICENSE"))


def test_it_runs_as_nobody_special(container):
    done = run(container.command("id"))
    assert re.fullmatch(rf"uid={UID}\(edged\) gid={UID}\(edged\) groups={UID}\(edged\),44\(video\)\n", done.stdout), (
        done
    )
    owned = [path for path in container.root.rglob("*") if not path.is_symlink() and path.stat().st_uid == UID]
    assert [str(path.relative_to(container.root)) for path in owned] == ["var/lib/edged"], "it may change nothing else"
    open_to_all = [
        path for path in container.root.glob("opt/**/*") if path.lstat().st_mode & 0o002 and not path.is_symlink()
    ]
    assert open_to_all == []


def test_version(container):
    done = run(container.edged("--version"))
    assert (done.returncode, done.stdout) == (0, f"edged {__version__}\n"), done.stderr


def test_a_mounted_configuration_is_checked(container, config):
    done = run(container.edged("check"))
    assert done.returncode == 0, done.stderr
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("circle", "cirkle"), encoding="utf-8")
    done = run(container.edged("check"))
    assert done.returncode == 78
    assert re.search(r"/etc/edged/edged\.toml:\d+: .*cirkle", done.stderr), done.stderr


def test_the_loop_runs_hangs_and_is_told_apart(container, config, mosquitto, prefix, tmp_path):
    """The daemon by the image's own command: an event at a subscriber, a loop that stands still, a clean stop."""
    said = tmp_path / "said.txt"
    with Listener(mosquitto.host, mosquitto.port, prefix) as listener, Service(container, said) as service:
        service.wait_for(lambda: listener.payloads("test/event/circle"))
        event = listener.payloads("test/event/circle")[0]
        assert (event["event_type"], event["rule"]) == ("start", "circle"), service.said
        done = container.health()
        assert (done.returncode, done.stdout) == (0, "")
        service.signal(signal.SIGSTOP)
        done = container.health()
        assert done.returncode == 1
        assert "edged hangs" in done.stdout
        service.signal(signal.SIGCONT)
        done = container.health()
        assert (done.returncode, done.stdout) == (0, ""), "and it is found well again"
        service.signal(signal.SIGTERM)
        assert service.wait() == 0, service.said
        listener.wait_state("test/pipeline", "stopping")
    assert (container.state / "test" / "outbox.db").stat().st_uid == UID
    # All that it wrote is in the volume: the rest may be read-only, as the page says.
    written = [path for path in container.root.rglob("*") if path.lstat().st_uid == UID]
    assert [str(path.relative_to(container.root)) for path in written] == ["var/lib/edged"]
    assert os.listdir(container.root / "var/lib/edged") == []  # noqa: PTH208 - the mount lies over it


def test_a_camera_that_is_away_is_no_reason_to_be_unhealthy(container, mosquitto, prefix, tmp_path):
    write_config(container.etc / "edged.toml", "v4l2:/dev/video99", mosquitto.port, prefix, RULES)
    with (
        Listener(mosquitto.host, mosquitto.port, prefix) as listener,
        Service(container, tmp_path / "said.txt") as service,
    ):
        service.wait_for(lambda: "camera_lost" in [told["state"] for told in listener.payloads("test/pipeline")])
        done = container.health()
        assert (done.returncode, done.stdout) == (0, ""), service.said
        service.signal(signal.SIGTERM)
        assert service.wait() == 0, service.said
