"""What a study must be like in the end, whatever befell it: the faults found, as sentences."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from gradstab.record.segments import Record
from tests.endtoend.command import values_of


def exactly_once(numbers: Iterable[int], total: int, where: str) -> list[str]:
    """Each number below `total` once."""
    counts = Counter(numbers)
    lost = sorted(set(range(total)) - set(counts))
    doubled = sorted(number for number, count in counts.items() if count > 1)
    beyond = sorted(set(counts) - set(range(total)))
    found = {"lost": lost, "more than once": doubled, "beyond the budget": beyond}
    return [f"{where}: {what}: {numbers[:10]}" for what, numbers in found.items() if numbers]


def equal_values(records: Sequence[Record], undisturbed: Sequence[Record]) -> list[str]:
    """Points, seeds and every array of every trial, bit for bit."""
    values, wanted = values_of(list(records)), values_of(list(undisturbed))
    differing = sorted(number for number in wanted if values.get(number) != wanted[number])
    failed = sorted(record.number for record in records if record.failure is not None)
    faults = [f"record: failed: {failed[:10]}"] if failed else []
    return faults + ([f"record: values differ from the undisturbed run's: {differing[:10]}"] if differing else [])


def told(trials: Sequence[Any], undisturbed: Sequence[Any], total: int) -> list[str]:
    """Optuna's trials: each once, complete, with the margins of the undisturbed run."""
    faults = exactly_once((trial.number for trial in trials), total, "Optuna")
    states = Counter(trial.state.name for trial in trials)
    if set(states) != {"COMPLETE"}:
        faults.append(f"Optuna: states {dict(states)}")
    wanted = {trial.number: trial.value for trial in undisturbed}
    differing = [trial.number for trial in trials if trial.value != wanted.get(trial.number)]
    return faults + ([f"Optuna: values differ: {differing[:10]}"] if differing else [])


def busy(records: Sequence[Record]) -> tuple[int, float]:
    """Slots seen, and the share of their time, from each one's first start to its last end, that they were busy."""
    packs = {(record.device, record.started_ms, record.finished_ms) for record in records}
    spent = sum(finished - started for _, started, finished in packs)
    present = 0
    slots = {device for device, _, _ in packs}
    for slot in slots:
        own = [(started, finished) for device, started, finished in packs if device == slot]
        present += max(finished for _, finished in own) - min(started for started, _ in own)
    return len(slots), spent / present if present else 0.0


def verdict(summary: str, faults: Sequence[str]) -> NoReturn:
    """Print what was seen and each fault, and exit: 1 where there is one."""
    print(f"{summary}; {len(faults)} faults")
    for fault in faults:
        print(f"  {fault}")
    sys.exit(bool(faults))
