"""Why a pack failed, in one sentence that says whether memory ran out, a worker was lost or a bug was met."""

from __future__ import annotations

_MAX_LENGTH = 300


def reason_of(error: BaseException) -> str:
    """The sentence for an exception that the work raised: `oom: ...`, or its type and message."""
    # torch's OutOfMemoryError is known by its name, because this room imports no torch
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"oom: {_first_line(error) or 'memory was exhausted'}"
    return f"{type(error).__name__}: {_first_line(error)}".rstrip(": ")


def loss_of(error: BaseException) -> str:
    """The sentence for a worker that is gone."""
    return f"worker lost: {type(error).__name__}: {_first_line(error)}".rstrip(": ")


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].strip()[:_MAX_LENGTH] if text else ""
