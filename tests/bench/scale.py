"""Share of slot-time busy on a cluster of several raylets, with packs that sleep for a second."""

from __future__ import annotations

import json

from tests.bench.children import run_child
from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.whole_line import Place


def scale(place: Place, sizes: Sizes) -> list[Row]:
    """Once: starting so many workers takes longer than the run."""
    folder, uri = place.new()
    out = folder / "scale.json"
    amounts = {"raylets": sizes.raylets, "slots": sizes.slots_of_a_raylet, "packs": sizes.packs_of_a_slot}
    arguments = [part for name, amount in amounts.items() for part in (f"--{name}", str(amount))]
    run_child(["tests.bench.scale_child", *arguments, "--uri", uri, "--out", str(out)], folder, folder)
    found = json.loads(out.read_text())
    wanted = sizes.raylets * sizes.slots_of_a_raylet
    name = f"slot-time busy, {found['slots']:.0f} of {wanted} slots on {sizes.raylets} raylets"
    note = f"{found['packs']} packs of {found['pack_seconds']:.2f} s, first start to last end"
    return [Row("scale", name, "%", (100 * found["busy"],), goal=">= 90", note=note)]
