"""What is aimed at, with the floors below which nothing may fall; docs/speed.md says how each is measured."""

from __future__ import annotations

from tests.bench.measure import Goal

WHOLE_LINE = {1000: Goal(100, 70), 400: Goal(70, 50)}  # ratio to the peer by the number of trials
DEMO_SECONDS = {"avx2": Goal(75, 100, at_most=True), "avx512": Goal(40, 50, at_most=True)}  # two cores
BESIDE_BUSY = Goal(1.3, 1.5, at_most=True)  # CPU a trial beside busy processes, by the quiet run's
BARE_LOOP = {
    32: Goal(8, 6),
    64: Goal(5, 3.5),
    128: Goal(2.5, 2),
    256: Goal(1.5, 1.3),
    512: Goal(1.1, 1.1),
}  # ratio by width
PRODUCTS_AVX2 = {64: Goal(0.5, 0.45), 128: Goal(0.55, 0.5), 256: Goal(0.6, 0.55)}  # share of their rate by width
SLOTS_BUSY = Goal(97, 95)  # per cent of slot-time
DRIVER_MS = Goal(1.0, 1.5, at_most=True)  # CPU a trial at 2,000 trials
# milliseconds of CPU a trial of quickstart, on AVX2 with 400 trials or more
BUDGET_AVX2 = {
    "workers": Goal(95, at_most=True),
    "shipper": Goal(25, at_most=True),
    "driver and Ray": Goal(30, at_most=True),
    "report": Goal(8, at_most=True),
}
BUDGET_TRIALS = 400  # start-up is part of the budget: with fewer trials it weighs more than the budget allows for
ESTIMATE_ERROR = Goal(25, at_most=True)  # per cent, of `gradstab check`
STATISTICS_EXTRA = Goal(10, at_most=True)  # per cent of a training's time, on every tenth step
WATCH_EXTRA = Goal(2, at_most=True)  # per cent of the loop at every=100, side batch a quarter of the batch
NORMS_EXTRA = Goal(15, at_most=True)
INIT_ONLY_RATE = Goal(300)
STARTUP_SECONDS = {"ray": Goal(6, at_most=True), "serial": Goal(2, at_most=True)}
SECOND_SHARE = Goal(0.7)  # the second study's ratio by T's
DRIVER_MEMORY_KB = Goal(5, at_most=True)
RESUME_SECONDS = Goal(10, at_most=True)
GPU_R_DECADES = Goal(0.05, at_most=True)
