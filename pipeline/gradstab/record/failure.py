"""Why a pack failed on its machine: a kind that the program acts on, and the words that people read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """The ways in which a machine or the user's program fails.

    The value is the word that begins the reason in files, tags and reports.
    """

    OUT_OF_MEMORY = "oom"
    """Memory ran out: the work raised that, or Ray killed the worker for it."""
    HUNG = "hang"
    """The worker gave no result for far longer than the pack should take, and was killed."""
    WORKER_LOST = "worker lost"
    """The worker's process died, or its result could not be read."""
    NODE_LOST = "node lost"
    """The worker's whole machine went away, which is seldom the fault of what it trained."""
    PROGRAM = "program"
    """The user's own code raised an exception; it would raise it again."""
    ERROR = "error"
    """The work raised any other exception. The reason is its type and message, without a word for the kind."""


@dataclass(frozen=True)
class Failure:
    """The reason why a pack failed.

    `str` of it is the reason as every version wrote it, and `Failure.parse` reads that back: `oom: CUDA out of memory`,
    `node lost: worker-3`, `ValueError: width must be even`.

    Attributes:
        detail: the exception's text, the node's name and so on; empty where no more is known.

    Raises:
        ValueError: the detail of an ERROR reads as another kind, so that its text would come back as that kind.
    """

    kind: FailureKind
    detail: str = ""

    def __post_init__(self) -> None:
        if self.kind is FailureKind.ERROR and _kind_and_detail(self.detail)[0] is not FailureKind.ERROR:
            raise ValueError(
                f"the detail of an ERROR must not begin like another kind of failure, got {self.detail!r}: "
                "use Failure.parse, which decides the kind"
            )

    def __str__(self) -> str:
        if self.kind is FailureKind.ERROR:
            return self.detail
        return f"{self.kind}: {self.detail}" if self.detail else str(self.kind)

    @staticmethod
    def parse(text: str) -> Failure:
        """The failure that a reason tells of; any text is one, and `str` of it is that text again."""
        return Failure(*_kind_and_detail(text))


def _kind_and_detail(text: str) -> tuple[FailureKind, str]:
    word, separator, detail = text.partition(": ")
    if bool(separator) == bool(detail):
        for kind in FailureKind:
            if kind is not FailureKind.ERROR and word == kind:
                return kind, detail
    return FailureKind.ERROR, text
