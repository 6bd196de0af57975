"""Training alone on one core: the bare loop, our packs at about their best size, and bare matrix products."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.study.pack_key import padded
from gradstab.study.study import Study
from gradstab.training.data import load_dataset
from gradstab.training.products import products_for
from gradstab.training.slots import single_blas_thread
from gradstab.training.work import TrainingWork
from tests.bench.bare_loop import train_bare
from tests.bench.goals import BARE_LOOP, INIT_ONLY_RATE, PRODUCTS_AVX2
from tests.bench.in_place import bounds
from tests.bench.kernels import kind_of_kernels
from tests.bench.measure import Row
from tests.bench.numpy_calls import counted_flops
from tests.bench.same_networks import STEPS, check_same_networks
from tests.bench.sizes import Sizes
from tests.bench.studies import SECOND, STUDY_T, changed, spread_points, trials_of, true_flops
from tests.bench.whole_line import Place

DEEP_AT_1024 = 4  # hidden layers, as a person would have at that width
PEAK_SECONDS = 0.3
INIT_TRIALS = 512
_COUNTED_STEPS = (10, 20)
SLOT = Slot("cpu-0")
SAME = {
    "T": STUDY_T,
    "T with momentum": changed(STUDY_T, momentum=0.9),
    "second": SECOND,
}  # whose networks are compared


PACK_TRIALS = {32: 96, 64: 96, 128: 24, 256: 12, 512: 6}  # about the best sizes (section packs)


def pack_of(width: int, count: int, **recipe: object) -> tuple[Study, list[Trial]]:
    """Study T at a width, and a pack of it whose depths are spread evenly over the study's."""
    study = changed(STUDY_T, None, width=width, **recipe)
    return study, trials_of(study, spread_points(study, count))


def run_pack(study: Study, pack: list[Trial]) -> float:
    """CPU seconds that our trainer takes for a pack, on one thread: what else runs on the machine counts less so."""
    work = TrainingWork(study.data, study.seed)
    begin = time.process_time()
    work.run(pack, SLOT)
    return time.process_time() - begin


def run_bare(study: Study, trials: list[Trial]) -> float:
    """CPU seconds that the bare loop takes for trials; subnormal numbers flushed to zero as our trainer has it."""
    data = load_dataset(study.data, study.seed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin = time.process_time()
    for trial in trials:
        train_bare(trial.recipe, trial.seed, data)
    return time.process_time() - begin


def products_peak(members: int, rows: int, width: int) -> float:
    """GFLOP/s of the three products of one hidden layer in a pack, as training computes them, in the cache."""
    torch.set_num_threads(1)
    products = products_for(torch.device("cpu"), None)
    units, batch = padded(width), padded(rows)
    a, delta, out = (torch.rand(members, batch, units) for _ in range(3))
    weight, gradient = (torch.rand(members, units, units) for _ in range(2))
    three = (
        products.product(a, weight, out),
        products.product(delta, weight.mT, out),
        products.product(a.mT, delta, gradient),
    )
    begin, repeats = time.process_time(), 0
    with torch.inference_mode(), single_blas_thread():
        while time.process_time() - begin < PEAK_SECONDS or repeats < 3:
            for compute in three:
                compute()
            repeats += 1
    seconds = time.process_time() - begin
    return 6.0 * members * batch * units * units * repeats / seconds / 1e9


def training(place: Place, sizes: Sizes) -> list[Row]:
    """Trials a second and the part of the matrix products' rate at every width; the same mean depth for both."""
    del place
    TrainingWork(STUDY_T.data, STUDY_T.seed).warm_up()  # before anything is allocated; the bare loop has it then too
    rows = []
    for name, study in SAME.items():
        factor, compared = check_same_networks(study)
        note = f"{STEPS} steps; padding, probes and accuracy included; compared: {compared['values']} values of steps"
        note += f", {compared['ends']} trainings by how they end"
        rows.append(Row("check", f"same networks, {name}: operations by the bare loop's", "x", (factor,), note=note))
    for width, num_bare in sizes.bare_trials.items():
        rows += _at_width(width, num_bare, sizes)
    return rows


def _at_width(width: int, num_bare: int, sizes: Sizes) -> list[Row]:
    study, bare_trials, packs = _work_at(width, num_bare, sizes)
    ours = [trial for pack in packs for trial in pack]
    gflop = counted_gflop(study, ours)
    bare, rate, peak, done, products, operations = [], [], [], [], [], []
    for _ in range(sizes.training_rounds):
        bare.append(num_bare / run_bare(study, bare_trials))
        peak.append(products_peak(len(packs[0]), study.recipe.batch_size, width))
        seconds = sum(run_pack(study, pack) for pack in packs)
        rate.append(len(ours) / seconds)
        done.append(gflop / seconds)
        found = [bounds(study, pack) for pack in packs]
        products.append(len(ours) / sum(one.products for one in found))
        operations.append(len(ours) / sum(one.operations for one in found))
    depth = f"{DEEP_AT_1024} hidden layers" if width == 1024 else "study T's depths"
    packed = f"{len(packs)} pack{'s' if len(packs) > 1 else ''} of {len(packs[0])}, {depth}, {study.recipe.steps} steps"
    useful = sum(true_flops(trial.recipe, study.data.shape()) for trial in ours) / 1e9 / gflop
    counted = f"{gflop:.0f} GFLOP counted, of which the bare loop does {useful:.0%}; start-up and statistics included"
    unit = "trials/s a core"
    bare_row = Row("width", f"bare loop, width {width}", unit, tuple(bare), note=f"{num_bare} trials, {depth}")
    our_row = Row("width", f"gradstab, width {width}", unit, tuple(rate), note=packed)
    alone = "hidden layers' products alone, in the memory of the pack: no program with these products exceeds it"
    products_row = Row("width", f"products in place, width {width}", unit, tuple(products), note=alone)
    all_of_it = (
        "and biases, activations, gradients, norms, updates, passes of start and end: no program with these calls"
    )
    operations_row = Row("width", f"operations in place, width {width}", unit, tuple(operations), note=all_of_it)
    peak_row = Row("roofline", f"batched products, width {width}", "GFLOP/s", tuple(peak), note="one layer, 3 products")
    done_row = Row("roofline", f"training, width {width}", "GFLOP/s", tuple(done), note=counted)
    return [
        bare_row,
        our_row.to(bare_row, BARE_LOOP.get(width)),
        products_row.to(bare_row),
        operations_row.to(bare_row),
        peak_row,
        done_row.to(peak_row, PRODUCTS_AVX2.get(width) if kind_of_kernels() == "avx2" else None),
    ]


def counted_gflop(study: Study, trials: Sequence[Trial], slot: Slot = SLOT) -> float:
    """10^9 operations of a pack's products, which grow with the steps: counted over few of them, because that is slow."""
    counted = []
    for steps in _COUNTED_STEPS:
        shorter = changed(study, steps=steps)
        short = [Trial(t.number, t.point, t.recipe.at({"steps": steps}), t.seed) for t in trials]
        with counted_flops() as flops:
            TrainingWork(shorter.data, shorter.seed).run(short, slot)
        counted.append(float(flops.total))
    a_step = (counted[1] - counted[0]) / (_COUNTED_STEPS[1] - _COUNTED_STEPS[0])
    return (counted[0] + a_step * (study.recipe.steps - _COUNTED_STEPS[0])) / 1e9


def _work_at(width: int, num_bare: int, sizes: Sizes) -> tuple[Study, list[Trial], list[list[Trial]]]:
    """The study, trials of the bare loop, and our packs; at width 1024 the same few trials, one at a time."""
    study, trials = pack_of(width, num_bare)
    if width == 1024:
        trials = [Trial(t.number, t.point, t.recipe.at({"depth": DEEP_AT_1024}), t.seed) for t in trials]
        return study, trials, [[trial] for trial in trials]
    _, pack = pack_of(width, max(num_bare, PACK_TRIALS[width] // sizes.pack_divisor))
    return study, trials, [pack]


def init_only(place: Place, sizes: Sizes) -> list[Row]:
    """Studies of the initial state: no step, the probe alone."""
    del place
    study, pack = pack_of(64, INIT_TRIALS, steps=0)
    run_pack(study, pack)
    rates = tuple(len(pack) / run_pack(study, pack) for _ in range(sizes.training_rounds))
    note = f"pack of {len(pack)}, width 64"
    return [Row("steps = 0", "gradstab, initial state only", "trials/s a core", rates, goal=INIT_ONLY_RATE, note=note)]
