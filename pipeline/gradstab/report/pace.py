"""When the report of a study that runs is due to be made again: at most a twentieth of what the run may compute.

A report costs the same whether a machine trains five trials a second or fifty, and on a slow machine it costs more. So
the pace follows the CPU seconds that the report's process has really spent, its start included.
"""

from __future__ import annotations

from dataclasses import dataclass

SHARE = 0.05  # of the CPU seconds that the run had
LEAST_LEFT_S = 30.0  # of the run: the report at its end is as good
LEFT_PER_CPU_SECOND = 10.0  # a polite process beside busy slots takes about this long for a CPU second


@dataclass(frozen=True)
class RunSoFar:
    """What the driver knows of its run.

    Attributes:
        cpu_seconds: that its slots have had so far: their number times the seconds since the run began.
        seconds_left: until the run ends, by the trials that it has finished so far.
    """

    cpu_seconds: float
    seconds_left: float


def is_remake_due(run: RunSoFar, spent: float, cost: float) -> bool:
    """Whether the report may be made now.

    Args:
        spent: CPU seconds that the report's process has spent so far.
        cost: CPU seconds that making the report once takes.
    """
    affordable = spent + cost <= SHARE * run.cpu_seconds
    return affordable and run.seconds_left > max(LEAST_LEFT_S, LEFT_PER_CPU_SECOND * cost)
