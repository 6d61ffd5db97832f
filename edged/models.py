"""From a model's name to a model that is loaded and fits its manifest. Part of the composition root."""

from __future__ import annotations

from pathlib import Path

from edged.config import Config, outline, unknown_labels
from edged.core.errors import ModelError
from edged.core.types import ModelSpec
from edged.edges.state_folder import state_root
from edged.edges.tflite import Interpreter
from edged.modelstore import Package, Trust, bundled, find
from edged.modelstore import load as load_package
from edged.proving import fit, prove_once


def model_folders(root: Path) -> tuple[Path, ...]:
    """Where models are looked for: the store, then what ships."""
    return (root / "models", bundled())


def open_model(
    name: str, threads: int, root: Path | None = None, trust: Trust | None = None
) -> tuple[Package, Interpreter, ModelSpec]:
    """Finds, judges, verifies, loads and fits a model; one that was never loaded here is proven first.

    Args:
        trust: which models may be used; left out: all.

    Raises:
        ModelError: one sentence.
        RunError: it could not be proven, which says nothing about the model.
    """
    judge = trust.judge if trust is not None else None
    package = load_package(find(name, model_folders(root or state_root()), judge))
    prove_once(package, root)
    interpreter = Interpreter(package.model_path, threads)
    return package, interpreter, fit(package, interpreter.input, interpreter.outputs)


def check_rules(config: Config, package: Package) -> None:
    """Refuses a model that lacks the label of a rule.

    Raises:
        ModelError: every such rule.
    """
    wrong = [f"rule {config.rules[int(key[1])].name}: {text}" for key, text in unknown_labels(outline(config), package)]
    if wrong:
        raise ModelError(f"model {package.name} {package.version} does not fit the rules: {'; '.join(wrong)}")
