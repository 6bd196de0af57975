"""How the probe refuses: one sentence that says what is wrong and what to do, also where the user's code raises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NoReturn

from gradstab.errors import UsageError

_LONGEST = 240  # characters of the user's own error message


class UserCodeError(UsageError):
    """The user's module or loss raised an exception, here told in one sentence."""


def refuse(sentence: str) -> NoReturn:
    """Raise the sentence as a UsageError of the probe."""
    raise UsageError(f"probe: {sentence}")


@contextlib.contextmanager
def user_code(what: str) -> Iterator[None]:
    """Turn whatever the user's code raises into a UserCodeError; `what` is the subject of its sentence."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"probe: {what} raised {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """`ValueError: message`, the message on one line and not too long."""
    message = " ".join(str(error).split())
    shortened = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}..."
    return f"{type(error).__name__}: {shortened}" if shortened else type(error).__name__
