"""Prints what pyproject.toml asks for, one requirement a line.

Usage: requirements.py [--only] EXTRA... : the extras' requirements after the project's own; --only: without those.
       requirements.py --build : what builds the package.
"""

import sys
import tomllib
from pathlib import Path

content = tomllib.loads(Path("pyproject.toml").read_text())
project = content["project"]
if "--build" in sys.argv:
    wanted = content["build-system"]["requires"]
else:
    own = [] if "--only" in sys.argv else project["dependencies"]
    extras = [name for name in sys.argv[1:] if name != "--only"]
    wanted = [*own, *(line for name in extras for line in project["optional-dependencies"][name])]
print("\n".join(wanted))
