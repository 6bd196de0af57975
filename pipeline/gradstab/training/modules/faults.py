"""Faults of the user's program while its modules train."""

from __future__ import annotations

from torch import linalg

from gradstab.errors import UsageError

_NUMERICAL = (linalg.LinAlgError, FloatingPointError)  # type: ignore[attr-defined]  # torch does not say that it exports it


class ProgramError(UsageError):
    """The user's build, loss or module does something that a study cannot use; the sentence says what to change."""


def is_divergence(error: BaseException, *, finite: bool) -> bool:
    """Whether an exception tells of numbers that left their range, which is a result and no fault.

    Args:
        finite: whether parameters and inputs were finite when it was raised.
    """
    return isinstance(error, Exception) and (isinstance(error, _NUMERICAL) or not finite)
