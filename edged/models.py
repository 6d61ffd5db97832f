"""From a model's name to a model that is loaded and fits its manifest. Part of the composition root."""

from __future__ import annotations

from pathlib import Path

from edged.core.errors import ModelError
from edged.core.labels import fit_model
from edged.core.types import ModelSpec
from edged.edges.state_folder import state_root
from edged.edges.tflite import Interpreter
from edged.modelstore import Package, Trust, bundled, find
from edged.modelstore import load as load_package


def model_folders(root: Path) -> tuple[Path, ...]:
    """Where models are looked for: the store, then what ships."""
    return (root / "models", bundled())


def open_model(
    name: str, threads: int, root: Path | None = None, trust: Trust | None = None
) -> tuple[Package, Interpreter, ModelSpec]:
    """Finds, judges, verifies, loads and fits a model.

    Args:
        trust: which models may be used; left out: all.

    Raises:
        ModelError: one sentence.
    """
    judge = trust.judge if trust is not None else None
    package = load_package(find(name, model_folders(root or state_root()), judge))
    interpreter = Interpreter(package.model_path, threads)
    needed = max(package.scores_output, package.embedding_output or 0) + 1
    if len(interpreter.outputs) < needed:
        raise ModelError(
            f"model {package.name}: its manifest speaks of {needed} outputs and model.tflite has "
            f"{len(interpreter.outputs)}; correct [embedding]"
        )
    output = interpreter.outputs[package.scores_output]
    spec = fit_model(
        package.name,
        package.version,
        package.sha256,
        package.labels,
        package.groups,
        package.input,
        package.activation,
        package.background,
        interpreter.input,
        output,
    )
    return package, interpreter, spec
