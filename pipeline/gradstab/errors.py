"""Errors that the user can fix: one sentence each, no traceback, and the exit code of the command."""

from __future__ import annotations

from collections.abc import Sequence


class GradstabError(Exception):
    """Something outside the program must change: what must hold, what came, what to do.

    Attributes:
        exit_code: of the command.
        at_once: whether the command ends without waiting for what libraries would still do.
    """

    exit_code = 1
    at_once = False


class UsageError(GradstabError):
    """The command or the study is wrong."""

    exit_code = 2


class StudyError(UsageError):
    """A study that cannot be: all its faults, one sentence each."""

    def __init__(self, faults: Sequence[str], source: str = "") -> None:
        self.faults = tuple(faults)
        self.source = source
        head = f"{source or 'study'}: {len(faults)} fault{'s' if len(faults) != 1 else ''}"
        super().__init__("\n".join([head, *(f"  - {fault}" for fault in faults)]))


class StorageError(GradstabError):
    """Storage cannot be reached or is full; results so far are safe."""

    exit_code = 4


class StudyHeldError(GradstabError):
    """Another living process holds the study, here or on another machine."""


EXIT_FAILED, EXIT_USAGE, EXIT_SOME_FAILED, EXIT_STORAGE, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
