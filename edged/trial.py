"""A model tried out before it takes over: proven in a process of its own, loaded, timed, held against the rules.

Part of the composition root.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edged.config import Config, outline, unknown_labels
from edged.core.errors import ModelError
from edged.core.types import ModelSpec
from edged.edges.tflite import Interpreter, median_invoke_ms
from edged.models import model_folders, open_model
from edged.modelstore import Package, find
from edged.modelstore import load as load_package
from edged.proving import prove

TIMED_INVOKES = 11


@dataclass(frozen=True)
class Tried:
    """A model that works.

    Attributes:
        invoke_ms: median wall time of an invoke, as long as nothing else kept the processor busy.
    """

    package: Package
    interpreter: Interpreter
    spec: ModelSpec
    invoke_ms: float


def test(name: str, threads: int, root: Path) -> Tried:
    """Proves a model, loads it into this process, and times it.

    Args:
        name: as for `open_model`.
        root: the state root.

    Raises:
        ModelError: it cannot be loaded, its scores are not those that it promises, or it sees no difference.
        RunError: it could not be tried, which says nothing about the model.
    """
    prove(load_package(find(name, model_folders(root))), root)
    package, interpreter, spec = open_model(name, threads, root)
    return Tried(package, interpreter, spec, median_invoke_ms(interpreter, TIMED_INVOKES))


def check_rules(config: Config, package: Package) -> None:
    """Refuses a model that lacks the label of a rule.

    Raises:
        ModelError: every such rule.
    """
    wrong = [f"rule {config.rules[int(key[1])].name}: {text}" for key, text in unknown_labels(outline(config), package)]
    if wrong:
        raise ModelError(f"model {package.name} {package.version} does not fit the rules: {'; '.join(wrong)}")
