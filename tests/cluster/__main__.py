"""The quickstart study on three raylets; one is killed and one added on the way; then an exact audit.

    python -m tests.cluster [--trials N]

Prints what happened, the share of slot-time busy, and the faults found; exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from gradstab.record.segments import segment_numbers, segment_paths
from tests.cluster.audit import busy, equal_values, exactly_once, told, verdict
from tests.cluster.raylets import Raylets, raylets
from tests.endtoend.command import Place

STUDY = Path(__file__).parent.parent.parent / "studies" / "quickstart.py"


def recorded(place: Place) -> int:
    return sum(len(segment_numbers(path)) for path in segment_paths(place.folder))


def say(begin: float, sentence: str) -> None:
    print(f"{time.monotonic() - begin:6.1f} s  {sentence}", flush=True)


def disturb(place: Place, cluster: Raylets, process: subprocess.Popen[str], trials: int, begin: float) -> int:
    """Kill a node when a quarter is on record, add one at a half; how many of the two were done."""
    done = 0
    while process.poll() is None:
        count = recorded(place)
        if done == 0 and count > trials / 4:
            cluster.kill()
            say(begin, f"a node killed, {count} on record")
            done = 1
        if done == 1 and count > trials / 2:
            cluster.add()
            say(begin, f"a node added, {count} on record")
            done = 2
        time.sleep(0.1)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=800)
    trials = parser.parse_args().trials
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gradstab-cluster-") as root:
        serial, parallel = Place(Path(root) / "serial", "quickstart"), Place(Path(root) / "parallel", "quickstart")
        for place in (serial, parallel):
            place.root.mkdir()
        begin = time.monotonic()
        with raylets(2, 2) as cluster:
            say(begin, f"three raylets of two CPUs at {cluster.address}")
            process = parallel.start("run", str(STUDY), "--trials", str(trials), "--address", cluster.address)
            disturbances = disturb(parallel, cluster, process, trials, begin)
            _, stderr = process.communicate()
            say(begin, f"the run ended with {process.returncode}")
        if process.returncode != 0 or disturbances != 2:
            faults.append(f"the run must end with 0 after two disturbances, got {process.returncode}: {stderr[-2000:]}")
        process = serial.start("run", str(STUDY), "--trials", str(trials), "--engine", "serial")
        _, stderr = process.communicate()  # however long one core takes
        if process.returncode != 0:
            faults.append(f"the serial run must end with 0, got {process.returncode}: {stderr[-2000:]}")
        say(begin, "the same, undisturbed and serial, for comparison")
        records = parallel.records()
        faults += exactly_once((record.number for record in records), trials, "record")
        faults += equal_values(records, serial.records())
        faults += told(parallel.optuna_trials(), serial.optuna_trials(), trials)
        children = parallel.mlflow_runs("trial")
        faults += exactly_once((int(run.data.tags["trial"]) for run in children), trials, "MLflow")
        slots, share = busy(records)
    verdict(f"{trials} trials, {slots} slots seen, {100 * share:.0f} % of their time busy", faults)


if __name__ == "__main__":
    main()
