"""First program of a submitted job, run as a file by the cluster's Python: can a study run here? Then the study.

Standard library alone, and no syntax that an old Python cannot read: what is missing here must be said in one sentence.
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
IF_UNSET = "GRADSTAB_IF_UNSET_"  # settings under this prefix give way to what the cluster itself has set
SECRETS = ".gradstab-secrets.json"  # beside this file: Ray would log what travels as the job's environment


def main() -> None:
    """Replace this process by `gradstab` with the same arguments, so that a signal reaches the driver itself."""
    here = "{} (Python {}.{})".format(sys.executable, *sys.version_info[:2])
    advice = "name the interpreter that gradstab is installed for with --python, or install it there"
    if sys.version_info < (3, 11):  # noqa: UP036  # it is the cluster's, not ours
        sys.exit(f"gradstab: the cluster's Python must be 3.11 or newer, got {here}: {advice}")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(f"gradstab: the cluster's Python must have {', '.join(missing)}, but {here} has not: {advice}")
    if os.path.exists(SECRETS):  # noqa: PTH110  # as short as can be
        with open(SECRETS) as file:  # noqa: PTH123
            os.environ.update(json.load(file)["variables"])
        os.unlink(SECRETS)  # noqa: PTH108
    for name in [name for name in os.environ if name.startswith(IF_UNSET)]:
        os.environ.setdefault(name[len(IF_UNSET) :], os.environ.pop(name))
    os.execv(sys.executable, [sys.executable, "-m", "gradstab", *sys.argv[1:]])


if __name__ == "__main__":
    main()
