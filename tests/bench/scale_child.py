"""Sleeping packs on a Ray cluster of several raylets of this machine, a process of its own.

Slots are declared, not real cores: sleeping takes none. Written to FILE: what share of slot-time was busy.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from ray.cluster_utils import Cluster

from pipeline import runner, session
from pipeline.ports import Slot
from pipeline.segments import Record, read_segment, segment_paths
from pipeline.settings import Setting, Settings
from pipeline.trajectory import Trajectory
from pipeline.trial import Trial
from tests.bench.studies import STUDY_T, changed
from tests.fakes_work import SleepingWork

PACK_SECONDS = 1.0


@dataclass(frozen=True)
class OneSecondTrials:
    """Sleeps for a second a trial, whatever the trial."""

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        return SleepingWork(PACK_SECONDS).run(trials, slot)


def busy(records: list[Record]) -> dict[str, float]:
    """Slots seen, packs, their mean seconds, and the share of slot-time from the first start to the last end."""
    packs = {(record.device, record.started_ms, record.finished_ms) for record in records}
    slots = {device for device, _, _ in packs}
    spent = sum(finished - started for _, started, finished in packs)
    window = max(finished for _, _, finished in packs) - min(started for _, started, _ in packs)
    return {
        "slots": len(slots),
        "packs": len(packs),
        "pack_seconds": spent / len(packs) / 1000,
        "busy": spent / (window * len(slots)),
    }


def main() -> None:
    """Start the cluster, run the study on it, take both down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--raylets", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True, help="of each raylet")
    parser.add_argument("--packs", type=int, required=True, help="for each slot")
    parser.add_argument("--uri", required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    root, slots = Path.cwd(), asked.raylets * asked.slots
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": asked.slots})
    try:
        for _ in range(asked.raylets - 1):
            cluster.add_node(num_cpus=asked.slots)
        cluster.wait_for_nodes()
        study = changed(STUDY_T, trials=slots * asked.packs)
        study = study.model_copy(update={"tracking": study.tracking.model_copy(update={"children": 0})})
        settings = Settings(
            results=Setting(str(root), "bench"),
            tracking=Setting(asked.uri, "bench"),
            storage=Setting(f"journal:{root / study.name / 'optuna.journal'}", "bench"),
            ray_address=Setting(cluster.address, "bench"),
            mlflow_env={},
        )
        begin = time.monotonic()
        with (
            mock.patch.object(runner, "TARGET_SECONDS", PACK_SECONDS),  # packs of one trial, which sleeps a second
            mock.patch.object(session, "store_cost_models"),
        ):
            session.drive(study, settings, source=None, engine="ray", work=OneSecondTrials())
        found = busy([record for path in segment_paths(root / study.name) for record in read_segment(path)])
        asked.out.write_text(json.dumps({**found, "seconds": time.monotonic() - begin}))
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
