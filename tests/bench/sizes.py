"""How much of everything a benchmark runs: the short form, the acceptance sizes, and the smallest that run at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Amounts.

    Attributes:
        rounds: repetitions of whole runs, in each of which all that is compared runs once.
        other_rounds: the same for sections without a floor.
        peer_trials: of a run of the peer, which manages one in six seconds.
        variant_trials: the same with warm actors or without MLflow.
        peer_second_trials: the same on the second study, whose networks are twice as deep.
        peer_widths: widths at which the peer runs too, for the plot.
        ours_trials: of `gradstab run` on study T: few, where start-up counts, and many.
        full_trials, second_trials: with full detail, and for the second study's ratio.
        peer_module_trials, module_trials: of each family that ships, of the peer and of `gradstab run`.
        budget_trials, busy_trials, demo_trials: of quickstart, with None for its own number.
        demo_rounds: repetitions of the demo.
        calibration_trials: of quickstart, before anything is estimated.
        estimate_trials: of the studies whose time is foretold, by name.
        estimate_rounds: repetitions of each.
        pack_sizes: sizes of packs by width.
        pack_rounds: repetitions of each size.
        bare_trials: of the bare loop by width.
        pack_divisor: what the packs of the training are divided by.
        profiled_widths: where the time goes is shown for these.
        training_rounds: repetitions of what takes seconds.
        driver_trials: budgets at which the driver is profiled.
        slots, packs_of_a_slot: of the clusters that sleep.
    """

    rounds: int
    other_rounds: int
    peer_trials: int
    variant_trials: int
    peer_second_trials: int
    peer_widths: tuple[int, ...]
    ours_trials: tuple[int, ...]
    full_trials: int
    second_trials: int
    peer_module_trials: int
    module_trials: int
    budget_trials: int
    busy_trials: int
    demo_trials: int | None
    demo_rounds: int
    calibration_trials: int
    estimate_trials: dict[str, int]
    estimate_rounds: int
    pack_sizes: dict[int, tuple[int, ...]]
    pack_rounds: int
    bare_trials: dict[int, int]
    pack_divisor: int
    profiled_widths: tuple[int, ...]
    training_rounds: int
    driver_trials: tuple[int, ...]
    slots: tuple[int, ...]
    packs_of_a_slot: int


SHORT = Sizes(
    rounds=1,
    other_rounds=1,
    peer_trials=6,
    variant_trials=2,
    peer_second_trials=2,
    peer_widths=(),
    ours_trials=(400,),
    full_trials=40,
    second_trials=24,
    peer_module_trials=4,
    module_trials=60,
    budget_trials=400,
    busy_trials=100,
    demo_trials=None,
    demo_rounds=1,
    calibration_trials=60,
    estimate_trials={"T": 150, "quickstart": 150, "clip_rescue": 50},
    estimate_rounds=1,
    pack_sizes={64: (1, 6, 24, 96)},
    pack_rounds=1,
    bare_trials={32: 6, 64: 6, 128: 3, 256: 2, 512: 1},
    pack_divisor=2,
    profiled_widths=(64,),
    training_rounds=1,
    driver_trials=(2000,),
    slots=(16,),
    packs_of_a_slot=8,
)
FULL = Sizes(
    rounds=3,
    other_rounds=2,
    peer_trials=12,
    variant_trials=12,
    peer_second_trials=12,
    peer_widths=(32, 128, 256),
    ours_trials=(400, 1000),
    full_trials=100,
    second_trials=400,
    peer_module_trials=12,
    module_trials=200,
    budget_trials=400,
    busy_trials=200,
    demo_trials=None,
    demo_rounds=3,
    calibration_trials=100,
    estimate_trials={"T": 400, "quickstart": 400, "clip_rescue": 200},
    estimate_rounds=2,
    pack_sizes={
        64: (1, 3, 6, 12, 24, 48, 96, 192),
        128: (1, 3, 6, 12, 24, 48, 96),
        256: (1, 3, 6, 12, 24, 48),
    },
    pack_rounds=3,
    bare_trials={32: 12, 64: 12, 128: 6, 256: 6, 512: 3, 1024: 2},
    pack_divisor=1,
    profiled_widths=(64, 256),
    training_rounds=5,
    driver_trials=(2000, 20_000),
    slots=(1, 4, 16, 64),
    packs_of_a_slot=12,
)
QUICK = Sizes(
    rounds=1,
    other_rounds=1,
    peer_trials=2,
    variant_trials=1,
    peer_second_trials=1,
    peer_widths=(),
    ours_trials=(24,),
    full_trials=8,
    second_trials=8,
    peer_module_trials=1,
    module_trials=16,
    budget_trials=24,
    busy_trials=16,
    demo_trials=24,
    demo_rounds=1,
    calibration_trials=16,
    estimate_trials={"T": 24, "quickstart": 24, "clip_rescue": 8},
    estimate_rounds=1,
    pack_sizes={64: (1, 12)},
    pack_rounds=1,
    bare_trials={32: 3, 64: 3, 128: 1, 256: 1, 512: 1},
    pack_divisor=12,
    profiled_widths=(64,),
    training_rounds=1,
    driver_trials=(100,),
    slots=(8,),
    packs_of_a_slot=5,
)
LARGE_DRIVER_TRIALS = 20_000  # run once only: minutes
