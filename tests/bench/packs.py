"""CPU a trial of quickstart by the size of a pack: in mixtures of its activations, and in whole stacks of one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from gradstab.loop.trial import Trial
from gradstab.study.file import load_study_file
from gradstab.study.study import Study
from gradstab.training.work import TrainingWork
from tests.bench.accounted import QUICKSTART
from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.studies import changed, spread_points, trials_of
from tests.bench.training import run_pack
from tests.bench.whole_line import Place

SECTION = "packs"
STACK = "tanh"
LEAST_TRIALS = 12  # trained for a figure: a pack of one network says nothing of the next


def packs(place: Place, sizes: Sizes) -> list[Row]:
    """Milliseconds of CPU a trial at every width and size; what is more than the least of a width is dispatch."""
    del place
    quickstart = load_study_file(QUICKSTART)
    TrainingWork(quickstart.data, quickstart.seed).warm_up()
    rows = []
    for width, counts in sizes.pack_sizes.items():
        study = changed(quickstart, width=width)
        run_pack(study, trials_of(study, spread_points(study, 3)))
        for name, chosen in (("mixture", study), (f"{STACK} alone", only(study, STACK))):
            rows += _rows(f"width {width}, {name}", chosen, counts, sizes.pack_rounds)
    return rows


def only(study: Study, activation: str) -> Study:
    """The study with one activation in place of the choice between several."""
    tree = study.dump()
    del tree["space"]["activation"]
    tree["recipe"]["activation"] = activation
    return Study.model_validate(tree)


def _rows(name: str, study: Study, counts: Sequence[int], rounds: int) -> list[Row]:
    found: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count, values in found.items():
            values.append(_milliseconds(study, count))
    least = min(statistics.median(values) for values in found.values())
    return [
        Row(
            SECTION,
            f"{name}, packs of {count}",
            "ms/trial",
            tuple(values),
            ratios=tuple(value / least for value in values),
            against="the best size",
        )
        for count, values in found.items()
    ]


def _milliseconds(study: Study, count: int) -> float:
    """CPU milliseconds a trial in packs of `count`, over at least LEAST_TRIALS trials of the study's mean depth."""
    total = max(count, LEAST_TRIALS // count * count)
    trials = trials_of(study, spread_points(study, total))
    return 1000 * sum(run_pack(study, pack) for pack in cut(trials, count)) / total


def cut(trials: list[Trial], count: int) -> list[list[Trial]]:
    """Packs of equal size and of about the same mean depth: every pack takes its trials from the whole range."""
    num_packs = len(trials) // count
    return [trials[start::num_packs] for start in range(num_packs)]
