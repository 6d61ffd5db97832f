"""The configuration: one TOML file in, one frozen `Config` out, or every problem of it in one `ConfigError`.

Law: pydantic is imported here (and in `edged.modelstore`) and nowhere else. Nothing here touches a camera, a model's
tensors or the network; the only files read are the configuration itself and the password, certificate and key files
that it names.
"""

from edged.config.config import Config, Finding, refusal
from edged.config.fitting import resolve, unknown_labels
from edged.config.outline import Outline, outline
from edged.config.password import ROOTS, Lent
from edged.config.reading import Reading, load, read
from edged.config.tables import (
    CameraTable,
    DeviceTable,
    ModelTable,
    MotionTable,
    MqttTable,
    OutboxTable,
    RegionTable,
    RuleTable,
    TlsTable,
)

__all__ = [
    "ROOTS", "CameraTable", "Config", "DeviceTable", "Finding", "Lent", "ModelTable", "MotionTable", "MqttTable",
    "OutboxTable", "Outline", "Reading", "RegionTable", "RuleTable", "TlsTable", "load", "outline", "read", "refusal",
    "resolve", "unknown_labels",
]  # fmt: skip
