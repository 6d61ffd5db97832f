"""Models as folders: found by name, described by a manifest, verified against their hashes.

Law: data only, never code from a model, and never a tensor: what the runtime says about `model.tflite` is the business
of `edges.tflite` and `core.labels.fit_model`. pydantic is imported here (and in `edged.config`) and nowhere else.
Nothing here writes into a model folder: the runtime maps the files, and a file that changes under it is a crash.
"""

from edged.modelstore.manifest import Manifest
from edged.modelstore.package import Package, load
from edged.modelstore.store import available, bundled, find

__all__ = ["Manifest", "Package", "available", "bundled", "find", "load"]
