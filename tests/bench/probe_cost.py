"""What statistics cost: trainings with and without readings between start and end, in turn."""

from __future__ import annotations

from tests.bench.goals import STATISTICS_EXTRA
from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.studies import changed, trials_of
from tests.bench.training import pack_of, run_pack
from tests.bench.whole_line import Place

PACK_TRIALS = {32: 48, 64: 24, 256: 3}  # by width
OFTENER = 2  # a difference of two times wants repetitions rather than long packs


def probe_cost(place: Place, sizes: Sizes) -> list[Row]:
    """Extra time of statistics on every 10th step."""
    del place
    rows = []
    for width, count in PACK_TRIALS.items():
        study, pack = pack_of(width, count)
        points = [trial.point for trial in pack]
        without, accurate = changed(study, probe_every=study.recipe.steps), changed(study, accuracy_every=10)
        packs = [(chosen, trials_of(chosen, points)) for chosen in (without, study, accurate)]
        run_pack(*packs[0])
        seconds = [[run_pack(*chosen) for chosen in packs] for _ in range(OFTENER * sizes.training_rounds)]
        extra = tuple(100 * (some / none - 1) for none, some, _ in seconds)
        more = tuple(100 * (every / none - 1) for none, _, every in seconds)
        note = f"pack of {len(pack)}; first and last reading are in both"
        rows += [
            Row(
                "statistics",
                f"on every 10th step, width {width}, extra time",
                "%",
                extra,
                goal=STATISTICS_EXTRA,
                note=note,
            ),
            Row("statistics", f"the same, and accuracy on 512 rows each time, width {width}", "%", more, note=note),
        ]
    return rows
