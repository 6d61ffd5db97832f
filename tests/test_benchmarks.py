"""The benchmarks are run by hand; that they still fit what they measure is found out here."""

from __future__ import annotations

import importlib

import pytest

from tests.conftest import EMULATED

NAMES = (
    "bars",
    "cameras",
    "delay",
    "endurance",
    "gate",
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
