"""HTML pages from template files: every value is escaped, whatever a study's texts hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_SHARED = Path(__file__).parent / "templates"


def render(folder: Path, name: str, **values: object) -> str:
    """The template of that name in a room's folder, filled with values. It may import those of all rooms, from here."""
    return _environment(folder).get_template(name).render(**values)


@cache
def _environment(folder: Path) -> Environment:
    # escaping is on for every file, not only for those whose name ends in .html
    return Environment(
        loader=FileSystemLoader([folder, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
