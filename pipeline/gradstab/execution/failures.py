"""Which failure an exception or a lost worker is: memory ran out, the worker or its machine was lost, or a bug."""

from __future__ import annotations

from gradstab.record.failure import Failure, FailureKind

_MAX_LENGTH = 300
# Ray names the kernel's OOM killer as a possible cause of every death; Ray's own killer uses these words
_SIGNS_OF_RAYS_OOM_KILLER = ("running low on memory", "memory monitor", "OOM_KILLED", "memory pressure")

_SIGNS_OF_ALLOCATORS = ("can't allocate memory", "not enough memory", "bad_alloc")


def error_failure(error: BaseException) -> Failure:
    """The failure of work that raised an exception: out of memory, or an error with its type and message."""
    # This room does not import torch, so torch's OutOfMemoryError (a GPU's) is recognized by its name. On a CPU torch
    # raises a RuntimeError, which is recognized by the words of its allocator.
    is_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if is_memory or any(sign in str(error) for sign in _SIGNS_OF_ALLOCATORS):
        return Failure(FailureKind.OUT_OF_MEMORY, _first_line(error) or "memory was exhausted")
    return Failure.parse(_type_and_message(error))


def worker_failure(error: BaseException) -> Failure:
    """The failure of a worker that is gone: out of memory where Ray killed it for that, else a lost worker."""
    if type(error).__name__ == "OutOfMemoryError" or any(sign in str(error) for sign in _SIGNS_OF_RAYS_OOM_KILLER):
        return Failure(FailureKind.OUT_OF_MEMORY, "Ray killed the worker because its node ran low on memory")
    return Failure(FailureKind.WORKER_LOST, _type_and_message(error))


def hang_failure(seconds: float) -> Failure:
    """The failure of a worker that gave no result within so many seconds."""
    return Failure(FailureKind.HUNG, f"no result within {seconds:.0f} s")


def silence_failure(seconds: float) -> Failure:
    """The failure of a worker that did no step within so many seconds."""
    return Failure(FailureKind.HUNG, f"no step within {seconds:.0f} s")


def node_failure(node: str) -> Failure:
    """The failure of a worker whose machine is gone."""
    return Failure(FailureKind.NODE_LOST, node)


def _type_and_message(error: BaseException) -> str:
    return f"{type(error).__name__}: {_first_line(error)}".rstrip(": ")


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].strip()[:_MAX_LENGTH] if text else ""
