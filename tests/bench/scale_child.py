"""Sleeping packs on a Ray cluster of raylets of this machine, a process of its own.

Slots are declared, not real cores: sleeping takes none. Written to FILE: what share of slot-time was busy.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ray.cluster_utils import Cluster

from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.record.segments import Record, read_segment, segment_paths
from gradstab.record.trajectory import Trajectory
from gradstab.session import drive as session
from gradstab.study.settings import Setting, Settings
from gradstab.system.storage_url import parse_storage, parse_tracking
from tests.bench.studies import STUDY_T, changed
from tests.fakes_work import SleepingWork

PACK_SECONDS = 1.0
SLOTS_OF_A_RAYLET = 32  # few and large: each costs half a dozen processes, and starts a worker a core at a time
STORE_BYTES = 200 * 2**20


@dataclass(frozen=True)
class OneSecondTrials:
    """Sleeps for a second a trial, and has no memory for more than one at a time: a pack lasts a second."""

    def free_bytes(self, slot: Slot) -> int:
        return 0

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        return SleepingWork(PACK_SECONDS).run(trials, slot)


def busy(records: list[Record]) -> dict[str, float]:
    """Slots seen, packs, their mean seconds, and the share of slot-time from each slot's first start to the last end.

    A slot counts from its own first pack, because a machine of few cores starts so many processes one after another.
    """
    packs = {(record.device, record.started_ms, record.finished_ms) for record in records}
    begun: dict[str, int] = {}
    for slot, started, _ in packs:
        begun[slot] = min(started, begun.get(slot, started))
    end = max(finished for _, _, finished in packs)
    spent = sum(finished - started for _, started, finished in packs)
    return {
        "slots": len(begun),
        "packs": len(packs),
        "pack_seconds": spent / len(packs) / 1000,
        "busy": spent / sum(end - first for first in begun.values()),
    }


def main() -> None:
    """Start the cluster, run the study on it, take both down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--packs", type=int, required=True, help="for each slot")
    parser.add_argument("--uri", required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    root, raylets = Path.cwd(), -(-asked.slots // SLOTS_OF_A_RAYLET)
    node = {"num_cpus": asked.slots // raylets, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(raylets - 1):
            cluster.add_node(**node)
        cluster.wait_for_nodes(timeout=120)
        study = changed(STUDY_T, trials=asked.slots * asked.packs)
        study = study.model_copy(update={"tracking": study.tracking.model_copy(update={"child_runs": 0})})
        settings = Settings(
            results=Setting(root, "bench"),
            tracking=Setting(parse_tracking(asked.uri), "bench"),
            storage=Setting(parse_storage(f"journal:{root / study.name / 'optuna.journal'}"), "bench"),
            ray_address=Setting(cluster.address, "bench"),
            mlflow_env={},
        )
        begin, used = time.monotonic(), time.process_time()
        session.drive(study, settings, source=None, engine="ray", work=OneSecondTrials(), report=False)
        found = busy([record for path in segment_paths(root / study.name) for record in read_segment(path)])
        spent = {"seconds": time.monotonic() - begin, "driver_cpu_s": time.process_time() - used}
        asked.out.write_text(json.dumps({**found, **spent}))
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
