"""What the pipeline as a whole is doing, as `D/pipeline` reports it. A change counts once, repeats are nothing."""

from __future__ import annotations

from edged.core.types import Blind, PipelineState


class Pipeline:
    """The state of the pipeline and since when.

    Attributes:
        state: a word of `D/pipeline`.
        reason: a sentence or a word that explains the state, None while there is nothing to explain.
        since_s: monotonic seconds of the change.
        version: counts changes, so that a reader can see that there was one.
    """

    def __init__(self, t_s: float) -> None:
        self.state: PipelineState = "starting"
        self.reason: str | None = None
        self.since_s = t_s
        self.version = 1

    def change(self, state: PipelineState, reason: str | None, t_s: float) -> None:
        """Takes on a state; another reason for the same state is a change too, but no new beginning."""
        if (state, reason) == (self.state, self.reason):
            return
        if state != self.state:
            self.since_s = t_s
        self.state, self.reason = state, reason
        self.version += 1

    def seeing(self, t_s: float) -> None:
        """A picture came."""
        if self.state != "running":
            self.change("running", None, t_s)

    def blind(self, blind: Blind) -> None:
        """None comes, or none that can be trusted."""
        self.change(blind.reason, blind.text, blind.t_s)
