"""Why a pack failed, in one sentence that says whether memory ran out, a worker was lost or a bug was met."""

from __future__ import annotations

from gradstab.loop.attempts import NODE_LOST

_MAX_LENGTH = 300
# Ray names the kernel's OOM killer as a possible cause of every death; its own killer says these
_SIGNS_OF_RAYS_OOM_KILLER = ("running low on memory", "memory monitor", "OOM_KILLED", "memory pressure")

_SIGNS_OF_ALLOCATORS = ("can't allocate memory", "not enough memory", "bad_alloc")


def reason_of(error: BaseException) -> str:
    """The sentence for an exception that the work raised: `oom: ...`, or its type and message."""
    # torch's OutOfMemoryError, a GPU's, is known by its name, because this room imports no torch; on a CPU torch raises
    # a RuntimeError, which its allocator's words tell from others
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if known or any(sign in str(error) for sign in _SIGNS_OF_ALLOCATORS):
        return f"oom: {_first_line(error) or 'memory was exhausted'}"
    return f"{type(error).__name__}: {_first_line(error)}".rstrip(": ")


def loss_of(error: BaseException) -> str:
    """The sentence for a worker that is gone: `oom: ...` where Ray killed it for memory, else `worker lost: ...`."""
    if type(error).__name__ == "OutOfMemoryError" or any(sign in str(error) for sign in _SIGNS_OF_RAYS_OOM_KILLER):
        return "oom: Ray killed the worker because its node ran low on memory"
    return f"worker lost: {type(error).__name__}: {_first_line(error)}".rstrip(": ")


def hang_of(seconds: float) -> str:
    """The sentence for a worker that said nothing for so long."""
    return f"hang: no result within {seconds:.0f} s"


def node_loss_of(node: str) -> str:
    """The sentence for a worker whose machine is gone."""
    return f"{NODE_LOST}{node}"


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].strip()[:_MAX_LENGTH] if text else ""
