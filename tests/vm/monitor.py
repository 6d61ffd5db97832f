"""QEMU's own hand on a machine (QMP): stops it, saves its running state, and lets it go on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from tests.vm.port import MachineError, Port

ANSWER_LIMIT_S = 240.0


class Monitor:
    """The management socket of one machine."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._await("QMP")
        self._ask("qmp_capabilities")
        self._ask("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])

    def save(self, file: Path) -> None:
        """Stops the machine and writes its memory and devices; its disks are what they are at that moment."""
        self._ask("stop")
        self._ask("migrate", uri=f"exec:cat >{shlex.quote(str(file))}")
        self._migrated()

    def restore(self, file: Path) -> None:
        """Reads what was saved, and lets the machine go on from there."""
        self._ask("migrate-incoming", uri=f"exec:cat {shlex.quote(str(file))}")
        self._migrated()
        self._ask("cont")

    def _migrated(self) -> None:
        while True:
            status = self._await("event", "MIGRATION")["data"]["status"]
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise MachineError(f"the state was not moved: {self._ask('query-migrate')}")

    def _ask(self, command: str, **arguments: Any) -> Any:
        self._port.send(json.dumps({"execute": command, "arguments": arguments}))
        answer = self._await("return")
        return answer["return"]

    def _await(self, key: str, value: object = None) -> dict[str, Any]:
        """The next message that has the key, with that value where one is given; other news is not kept."""
        while (line := self._port.receive(ANSWER_LIMIT_S)) is not None:
            message: dict[str, Any] = json.loads(line)
            if "error" in message:
                raise MachineError(f"QEMU: {message['error']}")
            if key in message and value in (None, message[key]):
                return message
        raise MachineError(f"QEMU did not answer within {ANSWER_LIMIT_S:g} s")
