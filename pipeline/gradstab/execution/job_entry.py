"""First program of a submitted job, run as a file by the cluster's Python: checks that a study can run, and runs it.

It uses the standard library alone and no syntax that an old Python cannot read, so that it can say in one sentence what
is missing.
"""

import json
import os
import sys
from importlib.util import find_spec

NEEDED = (
    "click",
    "pydantic",
    "torch",
    "ray",
    "optuna",
    "mlflow",
    "sklearn",
    "psutil",
    "rich",
    "dotenv",
    "platformdirs",
)
IF_UNSET = "GRADSTAB_IF_UNSET_"  # a variable with this prefix holds only where the cluster has not set it itself
SECRETS = ".gradstab-secrets.json"  # beside this file, because Ray logs the variables of a job


def main() -> None:
    """Replace this process by `gradstab` with the same arguments, so that signals reach the driver itself."""
    here = "{} (Python {}.{})".format(sys.executable, *sys.version_info[:2])
    advice = "name another interpreter with --python, or install gradstab's packages for this one"
    if sys.version_info < (3, 11):  # noqa: UP036  # the cluster's Python, not ours
        sys.exit(f"gradstab: the cluster's Python must be 3.11 or newer, got {here}: {advice}")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(f"gradstab: the cluster's Python lacks {', '.join(missing)}: {here}. {advice.capitalize()}")
    if os.path.exists(SECRETS):  # noqa: PTH110  # as short as can be
        with open(SECRETS) as file:  # noqa: PTH123
            os.environ.update(json.load(file)["variables"])
        os.unlink(SECRETS)  # noqa: PTH108
    for name in [name for name in os.environ if name.startswith(IF_UNSET)]:
        os.environ.setdefault(name[len(IF_UNSET) :], os.environ.pop(name))
    os.execv(sys.executable, [sys.executable, "-m", "gradstab", *sys.argv[1:]])


if __name__ == "__main__":
    main()
