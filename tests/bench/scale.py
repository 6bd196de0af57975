"""Share of slot-time busy on Ray clusters of more and more slots, with packs that sleep for a second."""

from __future__ import annotations

import json

from tests.bench.children import run_child
from tests.bench.goals import SLOTS_BUSY
from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.whole_line import Place

GOAL_SLOTS = 64
# Read by the cluster's own processes. So many workers on few cores: none but the study's are started, and a control
# store that is slow to answer is waited for, not given up.
_PATIENT_RAY = {
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_health_check_timeout_ms": "120000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_gcs_rpc_server_connect_timeout_s": "120",
}


def scale(place: Place, sizes: Sizes) -> list[Row]:
    """Each size as often as there are rounds."""
    rows = []
    for slots in sizes.slots:
        runs = [_run(place, slots, sizes.packs_of_a_slot) for _ in range(sizes.rounds)]
        busy = tuple(100 * run["busy"] for run in runs)
        seconds = sum(run["seconds"] for run in runs) / len(runs)
        note = (
            f"{slots * sizes.packs_of_a_slot} packs of {runs[0]['pack_seconds']:.2f} s; driver "
            f"{1000 * runs[0]['driver_cpu_s'] / runs[0]['packs']:.1f} ms CPU a pack; {seconds:.0f} s with start-up"
        )
        rows.append(
            Row(
                "scale",
                f"slot-time busy, {runs[0]['slots']:.0f} of {slots} slots",
                "%",
                busy,
                goal=SLOTS_BUSY if slots == GOAL_SLOTS else None,
                note=note,
            )
        )
    return rows


def _run(place: Place, slots: int, packs: int) -> dict[str, float]:
    folder, uri = place.new()
    out = folder / "scale.json"
    arguments = ["--slots", str(slots), "--packs", str(packs), "--uri", uri, "--out", str(out)]
    run_child(["tests.bench.scale_child", *arguments], folder, folder, more=_PATIENT_RAY)
    found: dict[str, float] = json.loads(out.read_text())
    return found
