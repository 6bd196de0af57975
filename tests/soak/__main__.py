"""A study under a seeded schedule of faults, then an exact audit; exits with 1 if anything is lost, doubled or changed.

    python -m tests.soak [--minutes M] [--seed S]

Rounds of a few trials each: in every round faults are drawn and done while the driver runs, and it is run again until
the round's trials are finished. The seed is printed; the schedule follows from it, what it hits depends on timing.
"""

from __future__ import annotations

import argparse
import random
import secrets
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import ray

from gradstab.record.segments import segment_paths
from tests.cluster.audit import equal_values, exactly_once, told, verdict
from tests.cluster.raylets import raylets
from tests.endtoend.command import Place
from tests.search.storages import postgresql_server
from tests.soak.faults import FAULTS
from tests.soak.stage import STUDY, Stage

TRIALS_A_ROUND = 24
MOST_RUNS_A_ROUND = 12
ROUND_SECONDS = 300.0


def one_round(stage: Stage, chance: random.Random, total: int, done: Counter[str], codes: Counter[int]) -> list[str]:
    """Bring the study to `total` trials while one to three faults are done to it; the tracebacks that were printed."""
    planned = chance.choices(FAULTS, k=chance.randint(1, 3))
    tracebacks = []
    for _ in range(MOST_RUNS_A_ROUND):
        stage.start_driver(total)
        assert stage.driver is not None
        begin, before = time.monotonic(), len(segment_paths(stage.place.folder))
        while planned and stage.driver.poll() is None:
            # from start-up on, but mostly while trials are in training
            if chance.random() < 0.7:
                while stage.driver.poll() is None and len(segment_paths(stage.place.folder)) == before:
                    time.sleep(0.1)
            time.sleep(chance.uniform(0, 2))
            fault = planned.pop()
            if fault(stage, chance):
                done[fault.__name__] += 1
        try:
            stderr = stage.driver.communicate(timeout=ROUND_SECONDS)[1]
        except subprocess.TimeoutExpired:
            stage.driver.kill()
            stderr = stage.driver.communicate()[1]
            raise SystemExit(
                f"the driver must end, but still ran after {ROUND_SECONDS:.0f} s: {stderr[-3000:]}"
            ) from None
        codes[stage.driver.returncode] += 1
        if "Traceback" in stderr:
            print(f"  a traceback after {time.monotonic() - begin:.0f} s: {stderr[-1500:]}", flush=True)
            tracebacks.append(f"a traceback for a person's eyes: {stderr.strip().splitlines()[-1]}")
        if stage.driver.returncode == 0:
            return tracebacks
    raise SystemExit(f"a round must end within {MOST_RUNS_A_ROUND} runs, but did not: {stderr[-3000:]}")


def leaked(stage: Stage) -> list[str]:
    """Slots that are still taken, and processes of the study that are still there, when no driver runs."""
    deadline = time.monotonic() + 60
    ray.init(address=stage.cluster.address, log_to_driver=False)
    try:
        while True:
            free = ray.available_resources().get("CPU", 0)  # type: ignore[no-untyped-call]
            cpus = ray.cluster_resources().get("CPU", 0)  # type: ignore[no-untyped-call]
            marks = (str(stage.place.folder), "ray::Worker")
            alive = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if _is_ours(p, marks, stage)]
            faults = [f"slots: {cpus - free:.0f} of {cpus:.0f} CPUs still taken"] if free != cpus else []
            faults += [f"process: {' '.join(line)[:120]}" for line in alive]
            if not faults or time.monotonic() > deadline:
                return faults
            time.sleep(1)
    finally:
        ray.shutdown()


def _is_ours(process: psutil.Process, marks: tuple[str, ...], stage: Stage) -> bool:
    line = " ".join(process.info["cmdline"] or ())
    if marks[0] in line:
        return True
    return line.startswith(marks[1]) and process.pid in {actor.pid for actor in stage.cluster.actors()}


def audit(stage: Stage, total: int) -> list[str]:
    """Everything that is not as an undisturbed run would have left it."""
    serial = Place(stage.place.root / "undisturbed")
    serial.root.mkdir()
    (serial.root / "study.yaml").write_text(STUDY)
    process = serial.start("run", "study", "--no-report", "--trials", str(total), "--engine", "serial")
    process.communicate()
    stage.await_mlflow()
    synced = stage.place.run("sync", "study", **stage.settings())
    records = stage.place.records()
    faults = exactly_once((record.number for record in records), total, "record")
    faults += equal_values(records, serial.records())
    faults += told(stage.optuna_trials(), serial.optuna_trials(), total)
    faults += exactly_once(stage.shipped(), total, f"MLflow (sync: {synced.returncode})")
    return faults + leaked(stage)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    chance = random.Random(seed)
    done: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    faults: list[str] = []
    begin, total, rounds = time.monotonic(), 0, 0
    print(f"seed {seed}, {asked.minutes:g} minutes", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="gradstab-soak-") as root,
        postgresql_server() as postgresql,
        raylets(1, 1) as cluster,
    ):
        stage = Stage(Path(root), cluster, postgresql)
        try:
            stage.await_mlflow()
            while rounds == 0 or time.monotonic() - begin < 60 * asked.minutes:
                total, rounds = total + TRIALS_A_ROUND, rounds + 1
                faults += one_round(stage, chance, total, done, codes)
                elapsed = (time.monotonic() - begin) / 60
                print(f"{elapsed:5.1f} min  {total} trials, {sum(done.values())} disturbances", flush=True)
            faults += audit(stage, total)
        finally:
            stage.close()
    print(f"{total} trials in {rounds} rounds, {sum(done.values())} disturbances: {dict(done)}")
    verdict(f"exit codes of the driver: {dict(codes)}; seed {seed}", faults)


if __name__ == "__main__":
    main()
