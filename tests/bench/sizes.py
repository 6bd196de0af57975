"""How much of everything a benchmark runs; the default fits into a quarter of an hour on two cores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Amounts.

    Attributes:
        rounds: repetitions, in each of which all that is compared runs once.
        peer_trials: of a run of the peer, which manages one in six seconds.
        peer_second_trials: the same on the second study, whose networks are twice as deep.
        peer_widths: widths at which the peer runs too, for the plot.
        ours_trials, full_trials, second_trials: of `gradstab run` on study T, with full detail, on the second study.
        bare_trials: of the bare loop by width.
        profiled_widths: where the time goes is shown for these.
        training_rounds: repetitions of what takes seconds.
        driver_trials: budgets at which the driver is profiled.
        slots, packs_of_a_slot: of the clusters that sleep.
    """

    rounds: int
    peer_trials: int
    peer_second_trials: int
    peer_widths: tuple[int, ...]
    ours_trials: int
    full_trials: int
    second_trials: int
    bare_trials: dict[int, int]
    profiled_widths: tuple[int, ...]
    training_rounds: int
    driver_trials: tuple[int, ...]
    slots: tuple[int, ...]
    packs_of_a_slot: int


DEFAULT = Sizes(
    rounds=2,
    peer_trials=5,
    peer_second_trials=3,
    peer_widths=(256,),
    ours_trials=1000,
    full_trials=60,
    second_trials=80,
    bare_trials={32: 6, 64: 6, 128: 6, 256: 3, 512: 3, 1024: 1},
    profiled_widths=(64, 256),
    training_rounds=3,
    driver_trials=(2000,),
    slots=(64,),
    packs_of_a_slot=12,
)
QUICK = Sizes(
    rounds=1,
    peer_trials=2,
    peer_second_trials=1,
    peer_widths=(32,),
    ours_trials=24,
    full_trials=8,
    second_trials=8,
    bare_trials={32: 3, 64: 3, 128: 3, 256: 3, 512: 1, 1024: 1},
    profiled_widths=(64,),
    training_rounds=1,
    driver_trials=(100,),
    slots=(8,),
    packs_of_a_slot=5,
)
LARGE_DRIVER_TRIALS = 20_000
