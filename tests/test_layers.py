"""The rooms of the house: who may import whom, read from the syntax trees of everything in `edged/`."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "edged").rglob("*.py"))

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "misc", "base", "manager", "handler"}

COMPOSITION = (
    *("edged.app", "edged.fitness", "edged.device", "edged.parts", "edged.vitals", "edged.printing"),
    *("edged.bench", "edged.silent_loop", "edged.demo", "edged.watching", "edged.listing"),
    *("edged.doctor", "edged.instances", "edged.keeping", "edged.proving", "edged.pulling", "edged.trusted"),
    *("edged.usage", "edged.fitted", "edged.models", "edged.tuning", "edged.inventory", "edged.adopting"),
    *("edged.beginning", "edged.stock", "edged.seat", "edged.activating"),
)

SEEING = ("edged.config", "edged.cli")

# Room -> what of edged it may import, as patterns. The first room that matches a module is its room.
ROOMS: dict[str, tuple[str, ...]] = {
    "edged": (),
    "edged.__main__": ("edged.cli",),
    "edged.core": ("edged.core",),
    "edged.ports": ("edged.core",),
    "edged.loop": ("edged.ports", "edged.core"),
    "edged.duties": ("edged.ports", "edged.core", "edged.duties"),
    # What is too much for one file is several with the same first word; they know each other.
    "edged.edges.outbox*": ("edged.ports", "edged.core", "edged.edges.outbox*", "edged.edges.identity"),
    "edged.edges.mqtt*": ("edged.ports", "edged.core", "edged.edges.mqtt*", "edged.edges.tls"),
    "edged.edges.camera_v4l2*": ("edged.ports", "edged.core", "edged.edges.camera_v4l2*"),
    "edged.edges.camera_file*": (
        "edged.ports",
        "edged.core",
        "edged.edges.camera_file*",
        "edged.edges.frames",
        "edged.edges.pixels*",
    ),
    "edged.edges.camera": (
        "edged.ports",
        "edged.core",
        "edged.edges.capture",
        "edged.edges.frames",
        "edged.edges.pixels*",
    ),
    "edged.edges.camera_rtsp*": ("edged.ports", "edged.core", "edged.edges.camera_rtsp*"),
    "edged.edges.tflite*": (
        "edged.ports",
        "edged.core",
        "edged.edges.tflite*",
        "edged.edges.pixels*",
        "edged.edges.camera_file_stills",
    ),
    "edged.edges": ("edged.ports", "edged.core", "edged.edges.pixels*", "edged.edges.frames"),
    "edged.config": ("edged.core", "edged.config"),
    "edged.modelstore": ("edged", "edged.core", "edged.modelstore"),
    "edged.adoption": ("edged.core", "edged.modelstore", "edged.adoption"),
    **dict.fromkeys(
        COMPOSITION,
        (
            *("edged", *COMPOSITION, "edged.loop", "edged.duties", "edged.ports"),
            *("edged.core", "edged.edges", "edged.config", "edged.modelstore", "edged.adoption"),
        ),
    ),
    "edged.cli": (
        *("edged", "edged.app", "edged.bench", "edged.demo", "edged.watching", "edged.listing", "edged.doctor"),
        *("edged.instances", "edged.keeping", "edged.pulling", "edged.adopting", "edged.config", "edged.modelstore"),
        *("edged.core.errors", "edged.cli"),
    ),
}

# Package of a third party (or of the standard library) -> the only modules that may import it.
DOORS: dict[str, tuple[str, ...]] = {
    "cv2": ("edged.edges.pixels*", "edged.edges.camera_*"),
    "simplejpeg": ("edged.edges.pixels_jpeg",),
    "picamera2": ("edged.edges.camera_picamera2",),
    "ai_edge_litert": ("edged.edges.tflite", "edged.edges.tflite_inmate"),
    "tflite_runtime": ("edged.edges.tflite", "edged.edges.tflite_inmate"),
    "paho": ("edged.edges.mqtt*",),
    "sqlite3": ("edged.edges.outbox*",),
    "pydantic": ("edged.config", "edged.modelstore"),
    "pydantic_core": ("edged.config", "edged.modelstore"),
    "numpy": ("edged.core", "edged.edges", *COMPOSITION),
    "rich": ("edged.cli",),
    "http": ("edged.edges.https",),
    "cryptography": ("edged.modelstore.signature",),
}

IMPURE = {
    *("time", "datetime", "threading", "asyncio", "socket", "random", "secrets", "logging", "os", "subprocess"),
    *("multiprocessing", "concurrent", "selectors", "signal", "pathlib", "tempfile", "shutil", "io", "sys", "ctypes"),
}


def module_name(path: Path) -> str:
    """edged/edges/mqtt.py is edged.edges.mqtt."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {module_name(path) for path in FILES}


def imports(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Every module that a source imports, wherever the import stands, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: -node.level]
                base = ".".join([*package, base] if base else package)
            for alias in node.names:
                # `from edged import loop` imports a module, `from edged.loop import run` imports from one.
                whole = f"{base}.{alias.name}"
                yield node.lineno, whole if whole in KNOWN else base
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
            yield node.lineno, "__import__"


def is_in(module: str, pattern: str) -> bool:
    """Whether a module is what a pattern names or below it; `edged` alone names the version and nothing below."""
    return module == pattern if pattern == "edged" else fnmatch(module, pattern) or fnmatch(module, f"{pattern}.*")


def violations(source: str, module: str) -> list[str]:
    """What a module imports and may not."""
    room = next((room for room in ROOMS if is_in(module, room)), None)
    if room is None:
        return [f"{module}: stands in no room: give it one in ROOMS"]
    found = []
    for line, name in imports(source, module):
        top = name.partition(".")[0]
        if top == "edged":
            wrong = not any(is_in(name, allowed) for allowed in ROOMS[room]) and name != module
        elif top in DOORS:
            wrong = not any(is_in(module, door) for door in DOORS[top])
        else:
            wrong = top == "__import__" or (room == "edged.core" and top in IMPURE)
        if wrong:
            found.append(f"{module}:{line}: imports {name}")
    return found


def code_lines(source: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function that hold code: neither its docstring, nor comments, nor blank lines, nor its signature."""
    first = node.body[0]
    is_documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(node.body) > 1
    begin = node.body[1 if is_documented else 0].lineno
    held: set[int] = set()
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            held |= set(range(token.start[0], token.end[0] + 1))
    return len([line for line in held if begin <= line <= (node.end_lineno or begin)])


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down_and_through_one_door(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8"), module_name(path)) == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_file_holds_one_noun(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MAX_FILE_LINES, "a long file wants a second noun"
    long = [
        f"{path.name}:{node.lineno}: {node.name} has {lines} lines of code"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := code_lines(source, node)) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [path.name for path in FILES if path.stem in VAGUE_NAMES] == []


WALL_CLOCK = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "time.strftime"}
WALL_CLOCK |= {f"{kind}.{name}" for kind in ("datetime", "date") for name in ("now", "utcnow", "today")}
LABELLING = {"edged.edges.clock", "edged.edges.identity", "edged.cli.watch"}
"""Labels, the first half of an event's id, and the hour that a person reads beside a line."""


def wall_clock_readings(source: str) -> set[str]:
    """What of a source reads the wall clock."""
    nodes = ast.walk(ast.parse(source))
    words = {".".join(ast.unparse(node).split(".")[-2:]) for node in nodes if isinstance(node, ast.Attribute)}
    return words & WALL_CLOCK


def test_the_wall_clock_labels_and_decides_nothing() -> None:
    """It may be stepped by years while the daemon runs."""
    assert {module_name(path) for path in FILES if wall_clock_readings(path.read_text(encoding="utf-8"))} == LABELLING
    assert wall_clock_readings("import datetime\nx = datetime.datetime.now().year") == {"datetime.now"}


def test_only_the_two_top_rooms_see_a_config() -> None:
    seers = {
        module_name(path)
        for path in FILES
        for _, name in imports(path.read_text(encoding="utf-8"), module_name(path))
        if is_in(name, "edged.config")
    }
    assert [module for module in seers if not any(is_in(module, room) for room in (*COMPOSITION, *SEEING))] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("edged.core.trigger", "import time"),
        ("edged.core.trigger", "from datetime import datetime"),
        ("edged.core.trigger", "def f():\n    import logging"),
        ("edged.core.trigger", "import os.path"),
        ("edged.core.trigger", "from edged.ports import Clock"),
        ("edged.core.trigger", "from edged.edges import board"),
        ("edged.core.trigger", "from ..edges import board"),
        ("edged.core.trigger", "import cv2"),
        ("edged.core.trigger", "__import__('time')"),
        ("edged.ports", "from edged.loop import run"),
        ("edged.ports", "import numpy"),
        ("edged.loop", "from edged.duties.publisher import MqttPublisher"),
        ("edged.loop", "from edged.edges.clock import SystemClock"),
        ("edged.loop", "import edged.config"),
        ("edged.duties.publisher", "from edged import loop"),
        ("edged.duties.publisher", "import paho.mqtt.client"),
        ("edged.edges.mqtt", "from edged.edges.clock import SystemClock"),
        ("edged.edges.mqtt", "from edged.edges import board"),
        ("edged.edges.mqtt", "from . import board"),
        ("edged.edges.mqtt", "from edged.config import Config"),
        ("edged.edges.mqtt", "from edged import app"),
        ("edged.edges.mqtt", "import sqlite3"),
        ("edged.edges.frames", "import cv2"),
        ("edged.edges.camera_v4l2", "from edged.edges.camera_file import FileSource"),
        ("edged.edges.camera", "import cv2"),
        ("edged.edges.board", "from paho.mqtt import client"),
        ("edged.edges.tflite", "from pydantic import BaseModel"),
        ("edged.edges.pixels", "from ai_edge_litert.interpreter import Interpreter"),
        ("edged.config.tables", "from edged.edges import board"),
        ("edged.config.tables", "from edged.modelstore import Package"),
        ("edged.config.tables", "import numpy"),
        ("edged.modelstore.store", "from edged.config import Config"),
        ("edged.modelstore.store", "import edged.edges.tflite"),
        ("edged.app", "from edged.cli import main"),
        ("edged.app", "import tflite_runtime.interpreter"),
        ("edged.device", "def f():\n    import pydantic"),
        ("edged.cli.run", "from edged.edges.clock import SystemClock"),
        ("edged.cli.run", "from edged import device"),
        ("edged.cli.run", "from edged.core.wire import event"),
        ("edged", "from edged import cli"),
        ("edged.attic", ""),
    ],
)
def test_the_checker_finds_a_planted_violation(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("edged.core.labels", "import math, json\nimport numpy as np\nfrom edged.core.types import Rule"),
        ("edged.ports", "from edged.core.errors import EdgedError"),
        ("edged.loop", "from edged.core import wire\nfrom edged.ports import Camera"),
        (
            "edged.edges.camera_file",
            "import cv2, fcntl\nfrom edged.edges.pixels import rotate\nfrom .frames import FrameSlot",
        ),
        ("edged.edges.camera_v4l2", "import cv2\nfrom edged.edges.camera_v4l2_device import examine"),
        ("edged.edges.mqtt_subscriber", "import paho.mqtt.client"),
        ("edged.edges.outbox", "import sqlite3"),
        ("edged.modelstore.store", "import edged\nfrom pydantic import BaseModel"),
        ("edged.app", "import edged\nfrom edged import loop, device\nfrom edged.edges import board"),
        (
            "edged.cli.demo",
            "from edged import app, demo\nfrom edged.cli import FAILED\nfrom edged.core.errors import EdgedError",
        ),
    ],
)
def test_the_checker_lets_pass_what_is_allowed(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_the_counter_counts_code_alone() -> None:
    signature, docstring = "def f(\n    a,\n    b,\n):\n", '    """Says\n\n    what."""\n    # why\n\n'
    source = signature + docstring + "    x = (\n        1,\n    )\n    return x\n"
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(source, function) == 4
