"""How many cores this process may use, which is often fewer than the machine has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# What batch systems give a job on one machine, each in a variable of its own: Slurm, PBS, LSF, Grid Engine.
_SCHEDULERS = ("SLURM_CPUS_PER_TASK", "NCPUS", "LSB_DJOB_NUMPROC", "NSLOTS")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class AllowedCores:
    """The cores that this process may use.

    Attributes:
        count: at least 1.
        seen: the cores of the machine.
        limit: what allows no more, in words; "" if nothing does.
    """

    count: int
    seen: int
    limit: str

    def __str__(self) -> str:
        return f"{self.limit} allows {self.count} of {self.seen} cores" if self.limit else f"{self.count} cores"


def allowed_cores(
    environment: Mapping[str, str] | None = None, cgroups: Path = _CGROUPS, own_cgroup: Path = _OWN_CGROUP
) -> AllowedCores:
    """The least of what the machine has, the affinity mask, the cgroup's CPU quota and the batch system allow.

    A quota of 1.5 cores counts as one: a slot that the kernel stops every tenth of a second delays the others.

    Args:
        environment: variables; by default those of this process.
        cgroups: where the kernel shows control groups.
        own_cgroup: the file that names those of this process.
    """
    variables = os.environ if environment is None else environment
    seen = os.cpu_count() or 1
    limits = {"": seen, "the CPU affinity of this process (taskset, cpuset)": _affinity(seen)}
    quota = _quota(cgroups, own_cgroup)
    if quota is not None:
        limits["the CPU quota of this container or control group"] = max(1, int(quota))
    for name in _SCHEDULERS:
        text = variables.get(name, "")
        if text.isdecimal() and int(text) > 0:
            limits[name] = int(text)
    limit = min(limits, key=lambda name: limits[name])
    return AllowedCores(limits[limit], seen, limit)


def _affinity(seen: int) -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        return seen


def _quota(cgroups: Path, own_cgroup: Path) -> float | None:
    """Cores that the quota of this process's control group, or of one above it, allows; None without a quota."""
    quotas = []
    for folder in _folders(cgroups, own_cgroup):
        limit = _read(folder / "cpu.max").split()  # version 2: "QUOTA PERIOD", or "max PERIOD"
        if not limit:  # version 1
            limit = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
        if len(limit) == 2 and all(number.isdecimal() for number in limit) and int(limit[1]) > 0:
            quotas.append(int(limit[0]) / int(limit[1]))
    return min(quotas, default=None)


def _folders(cgroups: Path, own_cgroup: Path) -> list[Path]:
    """The folders of this process's control groups and of all above them; within a container only the topmost shows."""
    roots = {"": cgroups, "cpu": cgroups / "cpu", "cpu,cpuacct": cgroups / "cpu,cpuacct"}
    folders = list(roots.values())
    for line in _read(own_cgroup).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers in roots:
            inside = roots[controllers] / path.lstrip("/")
            folders += [inside, *(above for above in inside.parents if above.is_relative_to(cgroups))]
    return list(dict.fromkeys(folders))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
