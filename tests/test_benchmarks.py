"""The benchmarks are run by hand; that they still fit what they measure is found out here."""

from __future__ import annotations

import importlib
import json
import os

import pytest

from tests.conftest import EMULATED

NAMES = (
    "appliance",
    "bars",
    "cameras",
    "delay",
    "endurance",
    "gate",
    "hostile",
    "loop",
    "outbox",
    "page",
    "process",
    "reliability",
    "report",
    "whole_loop",
)


@pytest.mark.skipif(EMULATED, reason="imports alone; the same files")
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_can_be_imported(name):
    importlib.import_module(f"benchmarks.{name}")


@pytest.mark.skipif(EMULATED, reason="text alone; the same files")
def test_a_row_of_the_appliance_that_was_not_measured_says_so():
    rows = importlib.import_module("benchmarks.appliance").rows({"camera: stall": "told | in time"})
    measured = {what: text for what, _, text, _ in rows}
    assert measured.pop("stalled camera") == "told \\| in time"
    assert set(measured.values()) == {"**not measured**"}


@pytest.mark.skipif(EMULATED, reason="text alone; the same files")
def test_results_of_one_row_are_told_apart_by_their_names():
    found = {"full card": "told", "read-only card": "told, too"}
    rows = importlib.import_module("benchmarks.appliance").rows(found)
    assert "full card: told; read-only card: told, too" in [text for _, _, text, _ in rows]


@pytest.mark.skipif(EMULATED, reason="text alone; the same files")
def test_results_of_two_images_are_never_mixed_and_the_long_form_counts(tmp_path):
    for seconds, (name, rows) in enumerate(
        {"a": {"x": "old", "y": "old"}, "b-long": {"x": "long"}, "b": {"x": "short", "z": "short"}}.items()
    ):
        file = tmp_path / f"vm-results-{name}.json"
        file.write_text(json.dumps(rows))
        os.utime(file, (seconds, seconds))
    newest = importlib.import_module("benchmarks.appliance").newest
    assert newest(tmp_path) == {"x": "long", "z": "short"}
    os.utime(tmp_path / "vm-results-a.json", (9, 9))
    assert newest(tmp_path) == {"x": "old", "y": "old"}
