"""Models as folders: found by name, described by a manifest, verified against their hashes, installed and trusted.

Law: data only, never code from a model, and never a tensor: what the runtime says about `model.tflite` is the business
of `edges.tflite` and `core.labels.fit_model`. pydantic is imported here (and in `edged.config`) and nowhere else.
Nothing here writes into a file of a model: the runtime maps it, and a file that changes under it is a crash.
"""

from edged.modelstore.installation import install, remove
from edged.modelstore.manifest import Manifest
from edged.modelstore.package import Package, load
from edged.modelstore.store import available, bundled, find
from edged.modelstore.trust import Trust

__all__ = ["Manifest", "Package", "Trust", "available", "bundled", "find", "install", "load", "remove"]
