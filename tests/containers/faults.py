"""What is done to a running stack: kills, restarts, and packets dropped in one direction."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.containers.stack import Stack, run

DROP_SECONDS = 20.0


@dataclass(frozen=True)
class Fault:
    """Something done once a share of the trials is told."""

    name: str
    share: float
    do: Callable[[Stack], None]


def kill_a_worker(stack: Stack) -> None:
    victim = stack.containers("worker")[0]
    run("docker", "kill", "--signal=KILL", victim)
    time.sleep(5)
    run("docker", "start", victim)


def kill_all_workers(stack: Stack) -> None:
    for victim in stack.containers("worker"):
        run("docker", "kill", "--signal=KILL", victim)
    for victim in stack.containers("worker"):
        run("docker", "start", victim)


def restart(service: str) -> Callable[[Stack], None]:
    def do(stack: Stack) -> None:
        run("docker", "restart", "--time=1", *stack.containers(service))

    return do


def deafen(sender: str, receiver: str) -> Callable[[Stack], None]:
    """For a while what `sender` sends to `receiver` is lost, and what comes back is not."""

    def do(stack: Stack) -> None:
        process = run("docker", "inspect", "--format={{.State.Pid}}", stack.containers(sender)[0]).stdout.strip()
        # the receiver's address in every network, because the sender may share any of them
        addresses = run(
            "docker",
            "inspect",
            "--format={{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}",
            stack.containers(receiver)[0],
        ).stdout.split()
        rule = ["OUTPUT", "--destination", ",".join(addresses), "--jump", "DROP"]
        inside = ["nsenter", f"--target={process}", "--net", "iptables"]
        run(*inside, "--insert", *rule)
        try:
            time.sleep(DROP_SECONDS)
        finally:
            subprocess.run([*inside, "--delete", *rule], capture_output=True, check=False)

    return do


def faults() -> list[Fault]:
    """In the order in which they come; packets can be dropped by root beside the engine alone."""
    chosen = [
        Fault("a worker killed, back after 5 s", 0.1, kill_a_worker),
        Fault("PostgreSQL restarted", 0.25, restart("postgres")),
        Fault("MLflow restarted", 0.4, restart("mlflow")),
        Fault(f"what the head sends to MLflow lost for {DROP_SECONDS:.0f} s", 0.5, deafen("head", "mlflow")),
        Fault(f"what a worker sends to the head lost for {DROP_SECONDS:.0f} s", 0.6, deafen("worker", "head")),
        Fault("all workers killed at once", 0.75, kill_all_workers),
    ]
    if os.geteuid() == 0 and shutil.which("nsenter") and shutil.which("iptables"):
        return chosen
    print("not root, or no nsenter and iptables here: no packets will be dropped")
    return [fault for fault in chosen if "lost" not in fault.name]
