"""Which topics the broker takes nothing on, and why. Pure."""

from __future__ import annotations


class Refusals:
    """Every topic whose last message was refused, until one is taken there."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def note(self, topic: str, refused: str | None) -> bool:
        """An answer; whether it changes anything.

        Args:
            refused: None for yes, else the broker's reason.
        """
        if refused is None:
            return self._reasons.pop(topic, None) is not None
        self._reasons[topic] = refused
        return True

    @property
    def text(self) -> str | None:
        """One sentence for a person; None while everything is taken."""
        reason = next(iter(self._reasons.values()), None)
        if reason is None:
            return None
        return f"the broker refuses messages of this device: {reason}; check what it may publish there"
