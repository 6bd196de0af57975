"""Prints what pyproject.toml asks for, one requirement a line, so that an image layer holds it without the source.

Usage: requirements.py [--only] EXTRA... : the extras' requirements after the project's own; --only: without those.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = [name for name in sys.argv[1:] if name != "--only"]
own = [] if "--only" in sys.argv else project["dependencies"]
print("\n".join([*own, *(line for name in extras for line in project["optional-dependencies"][name])]))
