"""The topics of one device. Names alone; what is said on them is made in `core.wire`."""

from __future__ import annotations


class Topics:
    """The topics of one device: everything below `<prefix>/<device>`."""

    def __init__(self, prefix: str, device: str) -> None:
        self.root = f"{prefix}/{device}"
        self.availability = f"{self.root}/availability"
        self.pipeline = f"{self.root}/pipeline"
        self.info = f"{self.root}/info"
        self.health = f"{self.root}/health"
        self.enabled = f"{self.root}/enabled"
        self.enabled_set = f"{self.enabled}/set"
        self.update = f"{self.root}/update/model"
        self.update_set = f"{self.update}/set"

    def state(self, rule: str) -> str:
        """Where the rule's current state is retained."""
        return f"{self.root}/state/{rule}"

    def event(self, rule: str) -> str:
        """Where the rule's live events go."""
        return f"{self.root}/event/{rule}"

    def backlog(self, rule: str) -> str:
        """Where the rule's late events go."""
        return f"{self.root}/backlog/{rule}"

    def threshold(self, rule: str) -> str:
        """Where the rule's score_threshold in force is retained."""
        return f"{self.root}/threshold/{rule}"

    def threshold_set(self, rule: str) -> str:
        """Where another one is asked for; `+` for the filter of all rules."""
        return f"{self.threshold(rule)}/set"

    def request(self, command: str) -> str:
        """Where a command is asked for; `+` for the filter of all commands."""
        return f"{self.root}/request/{command}"

    def response(self, command: str) -> str:
        """Where a command, or a setting that was refused, is answered."""
        return f"{self.root}/response/{command}"
