"""The sections of the benchmark by name, in the order in which they run."""

from __future__ import annotations

from tests.bench.budget import budget, busy, demo
from tests.bench.driver import driver
from tests.bench.estimates import estimates
from tests.bench.modules import modules
from tests.bench.operations import operations
from tests.bench.packs import packs
from tests.bench.probe_cost import probe_cost
from tests.bench.scale import scale
from tests.bench.time_by_purpose import profiles
from tests.bench.training import init_only, training
from tests.bench.watch_cost import watch_cost
from tests.bench.whole_line import Section, peer_widths, peers, second_study, startup, whole_line

# those with floors and goals of the whole program first: a run that is cut short has them
SECTIONS: dict[str, Section] = {
    "budget": budget,
    "whole-line": whole_line,
    "training": training,
    "busy": busy,
    "check": estimates,
    "packs": packs,
    "demo": demo,
    "modules": modules,
    "driver": driver,
    "scale": scale,
    "start-up": startup,
    "operations": operations,
    "profile": profiles,
    "statistics": probe_cost,
    "watch": watch_cost,
    "init-only": init_only,
    "second-study": second_study,
    "peers": peers,
    "peer-widths": peer_widths,
}
# in which hardly anything is computed: once is enough where a machine has several kinds of kernels
WITHOUT_KERNELS = frozenset({"driver", "scale", "start-up"})
