"""How values are spelled in study files, on the command line and in sentences about both."""

from __future__ import annotations

from collections.abc import Iterable

_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


def spelled(value: object) -> str:
    """A value as a study file spells it: true and false, null, and what is inside a list or a mapping alike."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(key)}: {spelled(part)}' for key, part in value.items())}}}"
    return repr(value)


def _key(key: object) -> str:
    """A key as it is, or quoted if it might break the sentence."""
    word = str(key)
    return word if word.isidentifier() and word.isascii() else repr(key)


def listed(values: Iterable[bool | int | float | str]) -> str:
    """Values as a sentence lists them: words without quotes, switches as true and false."""
    return ", ".join(value if isinstance(value, str) else spelled(value) for value in values)


def means(text: str, value: object) -> bool:
    """Whether a text typed by the user means a value: `on` is True, `1e-1` is 0.1."""
    if isinstance(value, bool):
        return _WORDS.get(text.lower()) is value
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text == value
