"""Which of two versions of gradstab came later."""

from __future__ import annotations

import re


def later(version: str, other: str) -> bool:
    """Whether a version comes after another one."""
    return version_numbers(version) > version_numbers(other)


def version_numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version, by which versions are sorted."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
