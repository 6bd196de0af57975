"""The responses that there are, found in library/: a new file there is a new response."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from gradstab.study.responses import library
from gradstab.study.responses.response import Response

RESPONSES: dict[str, Response] = {
    response.letter: response
    for module in sorted(pkgutil.iter_modules(library.__path__), key=lambda module: module.name)
    for response in [import_module(f"{library.__name__}.{module.name}").RESPONSE]
}


def letter_of(name: str) -> str | None:
    """The letter of a response that is named by its letter or its readable name; None if there is no such response."""
    return next((letter for letter, response in RESPONSES.items() if name in (letter, response.name)), None)


def default_letters(*, trained: bool) -> tuple[str, ...]:
    """The responses that count where a criterion names none."""
    return tuple(
        letter
        for letter, response in RESPONSES.items()
        if response.by_default and (trained or not response.needs_training)
    )
