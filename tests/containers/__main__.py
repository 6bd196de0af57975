"""`make test-containers`: python -m tests.containers [--trials N] [--out DIR] [calm] [faults] [secured]

calm: the quickstart study submitted from this machine, timed, audited, its MLflow pages photographed; what services may
    not do; its results fetched, lost and restored from MLflow; a backup restored into a stack with other passwords.
faults: the same while workers die, PostgreSQL and MLflow restart and packets are lost in one direction.
secured: the secured stack, behind TLS, refuses what has no credentials, runs what has them, and shows them nowhere.
It takes a Docker engine with compose and buildx, 7 GB of memory and 10 GB of disk; images are built first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.containers.backup import back_up, fetch, lose_and_restore, restore
from tests.containers.contained import check_contained
from tests.containers.faults import Fault, faults
from tests.containers.photographs import photograph
from tests.containers.secured import check_secured
from tests.containers.stack import Stack, build
from tests.containers.tls import check_tls, make_certificate

STUDY = "studies/quickstart.py"
MOST_SUBMISSIONS = 8
_FOLLOW_SECONDS = 900.0


def submitted(stack: Stack, name: str, trials: int, to_come: list[Fault]) -> int:
    """Submit until the study is done, doing each fault when its turn comes; how often it was submitted."""
    arguments = ["submit", STUDY, "--address", stack.ray, "--follow", "--name", name, "--trials", str(trials)]
    began, submissions = time.monotonic(), 1
    driver = stack.gradstab(*arguments)
    while True:
        told = stack.told(name) if to_come else None
        if told is not None and told >= to_come[0].share * trials:
            fault = to_come.pop(0)
            print(f"  {told:4} told, {time.monotonic() - began:4.0f} s: {fault.name}", flush=True)
            fault.do(stack)
        if driver.ended() is not None:
            code, text = driver.outcome(0)
            said = text.splitlines()
            if code == 0:
                return submissions
            print(f"  the driver ended with {code}: {said[-1] if said else ''}", flush=True)
            if submissions == MOST_SUBMISSIONS:
                sys.exit("\n".join(["the study must end, but its driver did not:", *said[-30:]]))
            submissions += 1
            driver = stack.gradstab(*arguments)
        if time.monotonic() - began > _FOLLOW_SECONDS:
            driver.outcome(0)
            sys.exit(f"the study must be done within {_FOLLOW_SECONDS:.0f} s, but {stack.told(name)} trials are told")
        time.sleep(0.3 if to_come else 1)


def audit(stack: Stack, name: str, trials: int) -> str:
    """Every number exactly once in segments, Optuna, MLflow and the parent's table; the experiment's id."""
    stack.in_head("gradstab", "sync", name)
    held = stack.held(name)
    for place in ("segments", "Optuna", "MLflow", "table"):
        if held[place] != list(range(trials)):
            missing, extra = set(range(trials)) - set(held[place]), len(held[place]) - len(set(held[place]))
            sys.exit(f"{name}: {place} must hold 0 to {trials - 1} once each, but lacks {missing}, {extra} are doubled")
    for place, states in (("Optuna's states", ["COMPLETE"]), ("MLflow's states", ["FINISHED"]), ("parents", 1)):
        if held[place] != states:
            sys.exit(f"{name}: {place} must be {states}, got {held[place]}")
    print(f"  audit: {trials} numbers, each once in segments, Optuna, MLflow's children and the parent's table")
    return str(held["experiment"])


def study_through(stack: Stack, name: str, trials: int, to_come: list[Fault]) -> str:
    began = time.monotonic()
    count = len(to_come)
    submissions = submitted(stack, name, trials, to_come)
    took = time.monotonic() - began
    print(f"  {trials} trials in {took:.0f} s ({trials / took:.1f}/s), {submissions} submission(s)")
    if to_come:
        sys.exit(f"all {count} faults must come while the study runs, but {len(to_come)} did not: take more trials")
    return audit(stack, name, trials)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="what to do; all by default")
    parser.add_argument("--trials", type=int, default=800)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder of the photographs; a temporary one by default")
    parser.add_argument("--built", action="store_true", help="the images exist already")
    given = parser.parse_args()
    parts = given.parts or ["calm", "faults", "secured"]
    out = given.out or Path(tempfile.mkdtemp(prefix="gradstab-containers-"))
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    if not given.built:
        build()
        print(f"images built in {time.monotonic() - began:.0f} s", flush=True)
    if "calm" in parts or "faults" in parts:
        stack = Stack()
        with stack.up(given.workers) as seconds:
            print(f"stack up and healthy in {seconds:.0f} s, {given.workers} workers", flush=True)
            if "calm" in parts:
                print("calm", flush=True)
                photograph(stack.mlflow, study_through(stack, "calm", given.trials, []), out)
                check_contained(stack)
                fetch(stack, "calm", out)
                lose_and_restore(stack, "calm", given.trials)
                saved = out / "backup"
                saved.mkdir()
                back_up(stack, saved)
                held = stack.held("calm")
            if "faults" in parts:
                print("faults", flush=True)
                study_through(stack, "faults", given.trials, faults())
    if "calm" in parts:
        stack = Stack()
        with stack.databases_up():
            restore(stack, saved)
            if stack.held("calm") != held:
                sys.exit("a study must be the same in the stack into which its backup was restored, but is not")
            print("  restored into a fresh stack with other passwords: segments, Optuna and MLflow are the same")
            audit(stack, "calm", given.trials)
    if "secured" in parts:
        stack = Stack(secured=True, tls=True)
        make_certificate(Path(stack.folder.name))
        with stack.up(1) as seconds:
            print(f"secured stack up and healthy in {seconds:.0f} s", flush=True)
            check_tls(stack)
            check_secured(stack)
    print("test-containers: all held")


if __name__ == "__main__":
    main()
