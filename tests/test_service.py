"""The systemd unit: what it is worth by systemd's measure, that systemd takes it, that each line has its reason."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from edged.edges.systemd import last_result
from tests.conftest import CI, EMULATED

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "systemd" / "edged.service"
PAGE, MODELS = ROOT / "docs" / "install.md", ROOT / "docs" / "models.md"
DROP_INS = sorted((ROOT / "systemd").glob("*.conf"))
VARIANTS = {"usb": (), "csi": (ROOT / "systemd" / "20-csi-camera.conf",)}
WORST_EXPOSURE = 15
"""systemd's measure from 0 to 100, which it prints divided by ten."""
SHARED = 4
"""So many directives in a row may have one reason."""
PLAIN = {"Description", "Documentation", "ExecStart", "WantedBy"}
OF_NEWER_SYSTEMD = {"RestartSteps", "RestartMaxDelaySec"}


def directives(path: Path) -> list[tuple[str, str]]:
    pairs = (line.partition("=")[::2] for line in path.read_text(encoding="utf-8").splitlines() if line[:1].isalpha())
    return [(key, value) for key, value in pairs]


def values(key: str, *paths: Path) -> list[str]:
    return [
        word for path in (UNIT, *paths) for name, value in directives(path) if name == key for word in value.split()
    ]


@pytest.fixture
def analyze(tmp_path: Path):
    """Runs systemd-analyze over a copy of the unit, called `name`, with drop-ins; the code and all that it printed."""
    if EMULATED or shutil.which("systemd-analyze") is None:
        if CI and not EMULATED:
            pytest.fail("no systemd-analyze on this machine (apt install systemd)")
        pytest.skip("no systemd-analyze here")

    def run(verb: list[str], name: str = "edged", drop_ins: tuple[Path, ...] = ()) -> tuple[int, str]:
        # What is started need not be on this machine.
        text = re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8"))
        (tmp_path / f"{name}.service").write_text(text, encoding="utf-8")
        for drop_in in drop_ins:
            folder = tmp_path / f"{name}.service.d"
            folder.mkdir(exist_ok=True)
            shutil.copy(drop_in, folder)
        command = ["systemd-analyze", *verb, str(tmp_path / f"{name}.service")]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SYSTEMD_PAGER": ""})
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_sandbox_is_worth_what_the_page_says(analyze, variant):
    security = ["security", "--offline=yes", "--no-pager", f"--threshold={WORST_EXPOSURE}"]
    code, printed = analyze(security, drop_ins=VARIANTS[variant])
    exposure = re.search(r"Overall exposure level for edged.service: ([\d.]+)", printed)
    assert exposure is not None, printed
    assert code == 0, printed
    if "systemd 252 " in subprocess.run(["systemctl", "--version"], capture_output=True, text=True).stdout:
        # Another version weighs differently; the page tells this one's.
        assert f"is {exposure[1]} for it" in PAGE.read_text(encoding="utf-8")


def test_a_laxer_unit_would_be_found(analyze, tmp_path):
    (tmp_path / "lax.conf").write_text("[Service]\nPrivateUsers=no\nSystemCallFilter=\n", encoding="utf-8")
    code, printed = analyze(
        ["security", "--offline=yes", f"--threshold={WORST_EXPOSURE}"], drop_ins=(tmp_path / "lax.conf",)
    )
    assert code != 0, printed


@pytest.mark.parametrize("name", ["edged", "edged@garden"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_systemd_takes_every_line(analyze, name, variant):
    _, printed = analyze(["verify", "--man=no"], name, VARIANTS[variant])
    told = [line for line in printed.splitlines() if re.search(r"\.(service|conf):\d+:", line)]
    unknown = {match[1] for line in told if (match := re.search(r"Unknown key '(\w+)'", line))}
    assert unknown <= OF_NEWER_SYSTEMD
    others = [line for line in told if "Unknown key" not in line and "Failed to parse system call" not in line]
    assert not others


def test_systemd_takes_the_nightly_pull_of_the_page(analyze, tmp_path):
    section = MODELS.read_text(encoding="utf-8").partition("\n## Many boards\n")[2].partition("\n## ")[0]
    for ending, text in zip(("service", "timer"), re.findall(r"```ini\n(.*?)```", section, re.DOTALL), strict=True):
        # What is started need not be on this machine.
        lines = re.sub(r"(?m)^(ExecStart(?:Pre)?)=\S+", r"\1=/bin/true", text)
        (tmp_path / f"edged-pull.{ending}").write_text(lines, encoding="utf-8")
    code, printed = analyze(["verify", "--man=no", str(tmp_path / "edged-pull.timer")])
    assert "edged-pull" not in printed
    assert code == 0, printed


@pytest.mark.parametrize("path", [UNIT, *DROP_INS], ids=lambda path: path.name)
def test_every_directive_has_its_reason(path):
    bare, since_reason = [], None
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            since_reason = 0
        elif not line or line.startswith("["):
            since_reason = None
        else:
            key = line.partition("=")[0]
            if key not in PLAIN and (since_reason is None or since_reason >= SHARED):
                bare.append(line)
            since_reason = None if since_reason is None else since_reason + 1
    assert not bare


def test_a_process_may_still_give_up_rights_of_its_own():
    """glibc's setrlimit() is prlimit64; the cell of a model that is tried stands on it."""
    if EMULATED or shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    refused = next(value for key, value in directives(UNIT) if key == "SystemCallFilter" and value.startswith("~"))

    def calls(group: str) -> set[str]:
        command = ["systemd-analyze", "syscall-filter", "--no-pager", group]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        words = {line.strip() for line in listed.splitlines() if line.startswith("    ")} - {""}
        inner = [calls(word) for word in words if word.startswith("@")]
        return words.union(*inner)

    denied = set().union(*(calls(word) if word.startswith("@") else {word} for word in refused[1:].split()))
    assert "setrlimit" in denied
    assert not denied & {"prlimit64", "setsid", "vfork", "clone3", "execve", "wait4", "pipe2"}
    assert {"prlimit64", "setsid", "vfork", "execve", "wait4", "pipe2"} <= calls("@system-service")


def test_each_instance_has_its_own_configuration_and_runtime_folder():
    assert values("ConditionPathExists") == ["/etc/edged/%N.toml"]
    assert values("ExecStart")[-2:] == ["--config", "/etc/edged/%N.toml"]
    assert values("RuntimeDirectory") == ["%N"]
    assert "%t/%N" in values("NoExecPaths")


def test_a_service_without_a_password_starts():
    loaded = dict(word.split(":", 1) for word in values("LoadCredential"))
    assert dict(word.split(":", 1) for word in values("SetCredential")) == dict.fromkeys(loaded, r"\n")
    assert set(loaded) == {"mqtt-password", "camera-password"}


@pytest.fixture
def ended(tmp_path: Path):
    """What systemd does when the process has ended so: the unit's own line, with what systemd tells it."""
    (line,) = (value for key, value in directives(UNIT) if key == "ExecStopPost")
    words = [word.replace("$$", "$") for word in shlex.split(line)]

    def run(result: str) -> None:
        told = dict(zip(("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"), result.split(), strict=True))
        done = subprocess.run(words, env={"RUNTIME_DIRECTORY": str(tmp_path), **told}, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    return run


def test_how_it_ended_first_is_kept_until_a_start_has_read_it(ended, tmp_path):
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    for result in ("watchdog dumped ABRT", "exit-code exited 78", "success killed TERM"):
        ended(result)
    assert last_result(environ) == "watchdog dumped ABRT"
    ended("success exited 0")
    assert last_result(environ) == "success exited 0"
    assert last_result(environ) is None


def test_how_it_ended_is_told_also_after_a_stop():
    assert values("RuntimeDirectoryPreserve") == ["yes"]


def test_nothing_that_can_be_written_can_be_run_or_outlives_the_service():
    assert set(values("NoExecPaths")) == {"/", "/run", "%S/edged", "%t/%N"}
    assert values("BindReadOnlyPaths") == values("ExecPaths") == ["/usr"]
    assert values("ReadOnlyPaths") == ["/run"]
    assert {"/dev/shm", "/tmp", "/var/tmp"} <= set(values("InaccessiblePaths"))
    assert values("ProcSubset") == []


def test_a_trial_that_the_kernel_takes_is_not_the_end_of_the_service():
    assert values("OOMPolicy") == ["continue"]


def test_the_page_says_what_the_unit_does():
    page = PAGE.read_text(encoding="utf-8")
    sandbox = page.partition("## The sandbox")[2].partition("### ")[0]
    table = [line for line in sandbox.splitlines() if line.startswith("| ")]
    named = {name for line in table for name in re.findall(r"`([A-Z]\w+)`", line)}
    assert len(named) > 15
    assert named <= {key for key, _ in directives(UNIT)}
    for word in (
        "LoadCredential",
        "RestartSteps",
        "RestartMaxDelaySec",
        "MemoryMax",
        "20-csi-camera.conf",
        "30-lock.conf",
    ):
        assert word in page
    assert f"after {values('RestartSec')[0]} s and later each time up to a minute" in page
    assert values("RestartMaxDelaySec") == ["1min"]
