"""Patterns of module names: * stands for one part of a name, ** for any number of parts, ? for a letter."""

from __future__ import annotations

import re


def name_pattern(pattern: str) -> re.Pattern[str]:
    """The expression that matches the whole names that a pattern means, such as `blocks.*`."""
    parts = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    return re.compile("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", pattern)))
