"""How a sentence about a study quotes a key or a value."""

from __future__ import annotations

from gradstab.study.spelling import spelled
from gradstab.system.storage_url import without_passwords


def plain(key: object) -> str:
    """A key as it is, or quoted and shortened if it would break the sentence."""
    word = str(key)
    return word if isinstance(key, int) or (word.isidentifier() and len(word) <= 60) else short(key)


def short(value: object) -> str:
    """A value as a sentence may quote it: short and without passwords."""
    text = without_passwords(spelled(value))
    return text if len(text) <= 60 else text[:57] + "..."
