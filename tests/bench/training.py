"""Training alone on one core: the bare loop, our packs as the runner would make them, and bare matrix products."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from gradstab.loop.cost_model import CostModel
from gradstab.loop.pack_size import FIRST, USUAL, PackTime, pack_length
from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.study.pack_key import padded
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe
from gradstab.training.data import load_dataset
from gradstab.training.work import TrainingWork
from tests.bench.bare_loop import train_bare
from tests.bench.measure import Row
from tests.bench.same_networks import STEPS, check_same_networks
from tests.bench.sizes import Sizes
from tests.bench.studies import SECOND, STUDY_T, changed, spread_points, trials_of, true_flops
from tests.bench.whole_line import Place

SPEED_GOALS = {32: ">= 8x", 64: ">= 6x", 128: ">= 3x", 256: ">= 1.6x", 512: ">= 1.1x", 1024: ">= 1x"}
PEAK_GOALS = {64: ">= .6", 128: ">= .6", 256: ">= .8", 512: ">= .8"}
DEEP_AT_1024 = 4  # hidden layers, as a person would have at that width
PEAK_SECONDS = 0.3
SLOT = Slot("cpu-0")
SAME = {
    "T": STUDY_T,
    "T with momentum": changed(STUDY_T, momentum=0.9),
    "second": SECOND,
}  # whose networks are compared


@dataclass(frozen=True)
class Packer:
    """Packs of a study on one slot, sized by the runner's own rule from this machine's measured speed."""

    study: Study
    cost: CostModel

    def pack(self, time: PackTime = USUAL) -> list[Trial]:
        """One pack whose depths are spread evenly over the study's."""
        room = psutil.virtual_memory().available // 2
        shape, recipes = (
            self.study.data.shape(),
            [resolved_recipe(self.study, p) for p in spread_points(self.study, 64)],
        )
        mixed = [recipes[(index * 37) % 64] for index in range(1024)]  # any prefix has about the mean depth
        length, _ = pack_length(mixed, shape, self.cost, time, room)
        return trials_of(self.study, spread_points(self.study, length))

    def after(self, pack: list[Trial], seconds: float) -> Packer:
        """The packer that has seen how long a pack took, as the runner learns it."""
        recipes = [trial.recipe for trial in pack]
        return Packer(self.study, self.cost.learned(recipes, self.study.data.shape(), seconds))


@lru_cache(maxsize=16)
def packer_of(width: int, steps: int) -> Packer:
    """A packer of study T at a width that has learnt from a short pack and then from a longer one."""
    study = changed(STUDY_T, width=width, steps=steps)
    packer = Packer(study, CostModel())
    for pack_time in (FIRST, PackTime(USUAL.least / 2, USUAL.most)):
        pack = packer.pack(pack_time)
        packer = packer.after(pack, run_pack(study, pack))
    return packer


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


def bmm_peak(members: int, rows: int, width: int) -> float:
    """GFLOP/s of the three products of one hidden layer in a pack, written into buffers made before."""
    torch.set_num_threads(1)
    units, batch = padded(width), padded(rows)
    a, delta, out = (torch.rand(members, batch, units) for _ in range(3))
    weight, gradient = (torch.rand(members, units, units) for _ in range(2))
    begin, repeats = time.process_time(), 0
    with torch.inference_mode():
        while time.process_time() - begin < PEAK_SECONDS or repeats < 3:
            torch.bmm(a, weight, out=out)
            torch.bmm(delta, weight.mT, out=out)
            torch.bmm(a.mT, delta, out=gradient)
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
        rows += _at_width(width, num_bare, sizes.training_rounds)
    return rows


def _at_width(width: int, num_bare: int, rounds: int) -> list[Row]:
    study = changed(STUDY_T, width=width)
    bare_trials, packs = _work_at(study, num_bare)
    ours = [trial for pack in packs for trial in pack]
    with FlopCounterMode(display=False) as counter:
        for pack in packs:
            run_pack(study, pack)
    gflop = counter.get_total_flops() / 1e9
    bare, rate, peak, done = [], [], [], []
    for _ in range(rounds):
        bare.append(num_bare / run_bare(study, bare_trials))
        peak.append(bmm_peak(len(packs[0]), study.recipe.batch_size, width))
        seconds = sum(run_pack(study, pack) for pack in packs)
        rate.append(len(ours) / seconds)
        done.append(gflop / seconds)
    depth = f"{DEEP_AT_1024} hidden layers" if width == 1024 else "study T's depths"
    packed = f"{len(packs)} pack{'s' if len(packs) > 1 else ''} of {len(packs[0])}, {depth}, {study.recipe.steps} steps"
    useful = sum(true_flops(trial.recipe, study.data.shape()) for trial in ours) / 1e9 / gflop
    counted = f"{gflop:.0f} GFLOP counted, of which the bare loop does {useful:.0%}; start-up and statistics included"
    unit = "trials/s a core"
    bare_row = Row("width", f"bare loop, width {width}", unit, tuple(bare), note=f"{num_bare} trials, {depth}")
    our_row = Row("width", f"gradstab, width {width}", unit, tuple(rate), note=packed)
    peak_row = Row("roofline", f"batched products, width {width}", "GFLOP/s", tuple(peak), note="one layer, 3 products")
    done_row = Row("roofline", f"training, width {width}", "GFLOP/s", tuple(done), note=counted)
    return [
        bare_row,
        our_row.to(bare_row, SPEED_GOALS[width]),
        peak_row,
        done_row.to(peak_row, PEAK_GOALS.get(width, "")),
    ]


def _work_at(study: Study, num_bare: int) -> tuple[list[Trial], list[list[Trial]]]:
    """Trials of the bare loop, and our packs: one as the runner makes it, or the same trials in smaller ones."""
    trials = trials_of(study, spread_points(study, num_bare))
    if study.recipe.width == 1024:
        trials = [Trial(t.number, t.point, t.recipe.at({"depth": DEEP_AT_1024}), t.seed) for t in trials]
        return trials, [[trial] for trial in trials]
    pack = packer_of(study.recipe.width, study.recipe.steps).pack()
    if len(pack) >= num_bare:
        return trials, [pack]
    return trials, [trials[start : start + len(pack)] for start in range(0, num_bare, len(pack))]


def init_only(place: Place, sizes: Sizes) -> list[Row]:
    """Studies of the initial state: no step, the probe alone."""
    del place
    packer = packer_of(64, 0)
    pack = packer.pack()
    rates = tuple(len(pack) / run_pack(packer.study, pack) for _ in range(sizes.training_rounds))
    note = f"pack of {len(pack)}, width 64"
    return [Row("steps = 0", "gradstab, initial state only", "trials/s a core", rates, goal=">= 300", note=note)]
