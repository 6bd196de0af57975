"""How a sentence about a study quotes a key, a value or the name that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from gradstab.system.storage_url import without_passwords


def plain(key: object) -> str:
    """A key as it is, or quoted and shortened if it would break the sentence."""
    word = str(key)
    return word if isinstance(key, int) or (word.isidentifier() and len(word) <= 60) else short(key)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is most like an unknown one, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def short(value: object) -> str:
    """A value as a sentence may quote it: short and without passwords."""
    text = without_passwords(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."
