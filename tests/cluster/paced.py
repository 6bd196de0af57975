"""A study whose trials sleep, driven on a cluster in a process of its own, so that others can look at it.

    python -m tests.cluster.paced STUDY.yaml ADDRESS cpu=.2 cuda=.02

Prints what a person would be told. The results folder is the environment's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gradstab.commands.lookup import find_settings, find_study
from gradstab.errors import GradstabError
from gradstab.loop.ports import KINDS
from gradstab.session.drive import drive
from gradstab.session.parts import Listener
from tests.endtoend.command import Place
from tests.fakes_work import PacedWork

_ROOT = Path(__file__).parent.parent.parent


def start_paced(place: Place, address: str, **paces: float) -> subprocess.Popen[str]:
    """Drive the place's study there, without MLflow; seconds a trial by kind of slot; stdout is what a person is told."""
    command = [sys.executable, "-m", "tests.cluster.paced", "study.yaml", address]
    command += [f"{kind}={seconds}" for kind, seconds in paces.items()]
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**place.environment(), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "PYTHONPATH": path}
    return subprocess.Popen(command, cwd=place.root, env=environment, stdout=subprocess.PIPE, text=True)


def main() -> None:
    source, address, *paces = sys.argv[1:]
    seconds = dict(pace.split("=") for pace in paces)
    study, _ = find_study(source, None, (), name=None, seed=None)
    settings = find_settings(study, Path(source), None, address=address)
    work = PacedWork({kind: float(seconds[kind]) for kind in KINDS})
    listener = Listener(found=lambda sentence: print(sentence, flush=True))
    try:
        drive(study, settings, source=None, engine="ray", listener=listener, work=work, report=False)
    except GradstabError as error:
        print(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
