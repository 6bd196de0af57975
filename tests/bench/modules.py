"""Networks of the families that ship: the whole line against the peer, and packs against modules one by one."""

from __future__ import annotations

import time

import torch

from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.record.dry_run import TriedModule
from gradstab.record.trajectory import Trajectory
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.study import Study
from gradstab.training.slots import set_known_state
from tests.bench.measure import Row
from tests.bench.same_modules import work_of
from tests.bench.sizes import Sizes
from tests.bench.studies import OF_MODULES, builder_of, spread_points, trials_of
from tests.bench.whole_line import AS_WRITTEN, OurRun, PeerRun, Place, our_rows, peer_row, run_ours, run_peer

SECTION = "modules"
PACK = 16


def modules(place: Place, sizes: Sizes) -> list[Row]:
    """Each family: the peer and `gradstab run` in turn, then CPU time of a training in a pack and alone."""
    rows = []
    for study in OF_MODULES.values():
        peers: list[PeerRun] = []
        ours: list[OurRun] = []
        for _ in range(sizes.other_rounds):
            peers.append(run_peer(place, study, sizes.peer_module_trials, AS_WRITTEN))
            ours.append(run_ours(place, study, sizes.module_trials))
        name = builder_of(study)
        peer = peer_row(f"{name}: peer, as people write it", peers, sizes.peer_module_trials, SECTION)
        rows += [peer, *our_rows(f"{name}: gradstab run", ours, sizes.module_trials, peer, None, SECTION)]
        rows += _packs(study, sizes.training_rounds)
    return rows


def _packs(study: Study, rounds: int) -> list[Row]:
    """Trainings a CPU second one by one, and in a pack that is computed at once."""
    set_known_state()
    trials = trials_of(study, spread_points(study, PACK))
    alone, together = [], []
    for _ in range(rounds):
        alone.append(_rate(study, trials, 1))
        together.append(_rate(study, trials, PACK))
    name, note = builder_of(study), f"packs of {PACK}, one core, CPU time"
    one = Row(SECTION, f"{name}: training one by one", "trials/s", tuple(alone), note=note)
    return [one, Row(SECTION, f"{name}: training at once", "trials/s", tuple(together), note=note).to(one)]


def _rate(study: Study, trials: list[Trial], together: int) -> float:
    recipe = trials[0].recipe
    assert isinstance(recipe, ModuleRecipe)
    tried = TriedModule({}, recipe.arguments, 0, (), "", 0, 0, 0, 0, 0, together=together)
    work = work_of(study, (tried,))
    work.warm_up()
    began = time.process_time()
    with torch.inference_mode(False):
        outcomes = work.run(trials, Slot("cpu-0"))
    seconds = time.process_time() - began
    assert all(isinstance(outcome, Trajectory) for outcome in outcomes)
    return len(trials) / seconds
