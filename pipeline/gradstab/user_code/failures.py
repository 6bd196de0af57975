"""How the user's code fails: one sentence with file and line, and a traceback of the user's files alone."""

from __future__ import annotations

from gradstab.errors import UsageError

_LONGEST = 300  # characters of the user's own error message


class CodeError(UsageError):
    """The user's code cannot be read, named, loaded or run.

    Attributes:
        traceback: as Python prints it, cut to the user's files; empty where nothing was running.
    """

    def __init__(self, sentence: str, traceback: str = "") -> None:
        super().__init__(sentence)
        self.traceback = traceback


def one_line(error: BaseException) -> str:
    """`ValueError: message`, the message on one line and not too long."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # an exception class of the user may fail at this too
        message = ""
    shortened = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}..."
    return f"{type(error).__name__}: {shortened}" if shortened else type(error).__name__
