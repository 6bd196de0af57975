"""Faults of the user's program while its modules train."""

from __future__ import annotations

from torch import linalg

from gradstab.errors import UsageError
from gradstab.user_code.tracebacks import code_error

_NUMERICAL = (linalg.LinAlgError, FloatingPointError)  # type: ignore[attr-defined]  # torch does not say that it exports it


class ProgramError(UsageError):
    """The user's build, loss or module does something that a study cannot use; the sentence says what to change."""


def is_divergence(error: BaseException, *, finite: bool) -> bool:
    """Whether an exception tells of numbers that left their range, which is a result and no fault.

    Args:
        finite: whether parameters and inputs were finite when it was raised.
    """
    return isinstance(error, Exception) and (isinstance(error, _NUMERICAL) or not finite)


def sentence_and_traceback(error: Exception) -> tuple[str, str]:
    """An exception of a study's program as one sentence, and its traceback cut to the user's files, if any.

    A sentence of gradstab's own about the program stands as it is.
    """
    cause = error.__cause__
    if isinstance(error, UsageError) and not isinstance(cause, Exception):
        return str(error).removeprefix("probe: "), getattr(error, "traceback", "")
    found = code_error("the study's program", cause if isinstance(cause, Exception) else error)
    return str(found), found.traceback
