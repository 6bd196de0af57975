"""The faults a soak draws from. Each does its harm to a stage and says whether there was anything to harm."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import psycopg

from gradstab.record.segments import segment_paths
from tests.soak.stage import Stage

Fault = Callable[[Stage, random.Random], bool]


def kill_worker(stage: Stage, chance: random.Random) -> bool:
    return _signal_worker(stage, chance, signal.SIGKILL)


def hang_worker(stage: Stage, chance: random.Random) -> bool:
    return _signal_worker(stage, chance, signal.SIGSTOP)


def kill_raylet(stage: Stage, chance: random.Random) -> bool:
    """A node goes, and another joins in its place."""
    stage.cluster.kill(chance.randrange(stage.cluster.num_workers))
    stage.cluster.add()
    return True


def kill_driver(stage: Stage, chance: random.Random) -> bool:
    return _signal_driver(stage, signal.SIGKILL)


def terminate_driver(stage: Stage, chance: random.Random) -> bool:
    return _signal_driver(stage, signal.SIGTERM)


def kill_shipper(stage: Stage, chance: random.Random) -> bool:
    for process in stage.family():
        with suppress(psutil.NoSuchProcess):
            if "gradstab.tracking.shipper" in process.cmdline():
                process.kill()
                return True
    return False


def restart_mlflow(stage: Stage, chance: random.Random) -> bool:
    stage.signal_mlflow(signal.SIGKILL)
    stage.mlflow.wait()
    time.sleep(chance.uniform(0, 3))
    stage.start_mlflow()
    return True


def stall_mlflow(stage: Stage, chance: random.Random) -> bool:
    stage.signal_mlflow(signal.SIGSTOP)
    time.sleep(chance.uniform(1, 5))
    stage.signal_mlflow(signal.SIGCONT)
    return True


def cut_connections(stage: Stage, chance: random.Random) -> bool:
    """PostgreSQL drops every connection, in the middle of whatever it does."""
    with psycopg.connect(stage.postgresql.url, autocommit=True) as connection:
        rows = connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where pid <> pg_backend_pid() and backend_type = 'client backend'"
        ).fetchall()
    return bool(rows)


def restart_postgresql(stage: Stage, chance: random.Random) -> bool:
    stage.postgresql.stop()
    time.sleep(chance.uniform(0, 3))
    stage.postgresql.start()
    return True


def damage_segment(stage: Stage, chance: random.Random) -> bool:
    """The driver is killed, and one of its records is cut short or has a bit flipped."""
    paths = segment_paths(stage.place.folder)
    if not paths or not _signal_driver(stage, signal.SIGKILL):
        return False
    path = chance.choice(paths)
    content = bytearray(path.read_bytes())
    if chance.random() < 0.5:
        del content[chance.randrange(len(content)) :]
    else:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return True


FAULTS: tuple[Fault, ...] = (
    kill_worker,
    hang_worker,
    kill_raylet,
    kill_driver,
    terminate_driver,
    kill_shipper,
    restart_mlflow,
    stall_mlflow,
    cut_connections,
    restart_postgresql,
    damage_segment,
)


def _signal_worker(stage: Stage, chance: random.Random, number: signal.Signals) -> bool:
    workers = stage.cluster.actors()
    if not workers:
        return False
    with suppress(psutil.NoSuchProcess):
        chance.choice(workers).send_signal(number)
        return True
    return False


def _signal_driver(stage: Stage, number: signal.Signals) -> bool:
    if stage.driver is None or stage.driver.poll() is not None:
        return False
    stage.driver.send_signal(number)
    if number == signal.SIGKILL:
        stage.driver.wait()
    return True
