"""What can go wrong, sorted by who can mend it.

A message is one sentence for a person: what was expected, what was found, what to do. Nothing here carries pixels,
passwords or URLs with a login.
"""


class EdgedError(Exception):
    """Base of every error that edged raises on purpose. Never raised itself."""


class ConfigError(EdgedError):
    """The configuration file cannot be used. Ends the process with exit code 78.

    Attributes:
        problems: one line each, as `FILE:LINE: key: what is wrong, what is allowed`.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ModelError(EdgedError):
    """The model cannot be used: missing, damaged, or not what its manifest says. Exit code 78 at start."""


class RunError(EdgedError):
    """Something that worked at the start failed while running. Exit code 1: a new process may well work."""


class CameraError(EdgedError):
    """A camera could not be opened or read. Retried for ever by the capture thread, never the end of the process.

    Args:
        text: one sentence without the camera's path, since it is published.
        place: the path, for the journal and the terminal alone.

    Attributes:
        text: as it was given.
        reason: one word of the vocabulary of `D/pipeline`, see `Blind.reason`.
    """

    def __init__(self, text: str, reason: str = "camera_lost", *, place: object = None) -> None:
        super().__init__(text if place is None else f"{place}: {text}")
        self.text = text
        self.reason = reason


class CameraHung(EdgedError):
    """The driver has not returned from one call for too long. Ends the process: only a new one can help."""
