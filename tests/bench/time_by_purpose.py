"""Where a training's time goes, from torch.profiler: every operation is counted for what called it.

torch.profiler does not see NumPy, so the functions of NumPy that training calls are announced to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch._C._profiler import _ExperimentalConfig
from torch.profiler import ProfilerActivity, profile, record_function

from gradstab.loop.trial import Trial
from gradstab.study.study import Study
from tests.bench.goals import NORMS_EXTRA
from tests.bench.measure import Row
from tests.bench.numpy_calls import replaced
from tests.bench.sizes import Sizes
from tests.bench.training import PACK_TRIALS, pack_of, run_pack
from tests.bench.whole_line import Place

SECTION = "profile"
STEPS = 20  # every operation is recorded with its call stack
_PRODUCTS = ("aten::bmm", "aten::baddbmm", "aten::baddbmm_", "aten::mm", "aten::addmm", "aten::matmul")
_NUMPY = {
    "tanh": "activation",
    "matmul": "matrix products",
    "vecdot": "norms",
}  # functions of NumPy that training calls
_PREFIX = "numpy::"
_NORM = "aten::linalg_vector_norm"
# the innermost frame that ends or lies so decides
_BY_FUNCTION = {
    "total_norms": "norms",
    "section_norms": "statistics",
    "piece_norms": "statistics",
    "_fetch": "gather",
    "_loss": "loss",
    "accuracy": "accuracy",
    "_initial_values": "initialisation",
    "_bind": "buffers",
    "_plan": "buffers",
}
_BY_FILE = {
    "activations/library/": "activation",
    "training/optimizers.py": "optimizer",
    "training/clipping.py": "optimizer",
    "training/probes.py": "statistics",
    "training/log.py": "records",
    "training/data.py": "gather",
    "training/initialisation.py": "initialisation",
}


def profiles(place: Place, sizes: Sizes) -> list[Row]:
    """Share of a training's time by purpose, and what the norms of every step add to the rest."""
    del place
    rows: list[Row] = []
    for width in sizes.profiled_widths:
        study, pack = pack_of(width, PACK_TRIALS[width] // sizes.pack_divisor, steps=STEPS)
        nanos = time_by_purpose(study, pack)
        total, norms = sum(nanos.values()), nanos["norms"]
        note = f"pack of {len(pack)}, {STEPS} steps, width {width}"
        rows += [
            Row(SECTION, f"width {width}: {what}", "%", (100 * t / total,), note=note)
            for what, t in nanos.most_common()
        ]
        rows.append(
            Row(
                "statistics",
                f"norms of every step, by the rest, width {width}",
                "%",
                (100 * norms / (total - norms),),
                goal=NORMS_EXTRA,
                note="from the profile",
            )
        )
    return rows


def time_by_purpose(study: Study, pack: list[Trial]) -> Counter[str]:
    """Nanoseconds of a pack's training; Python is what the plain run takes beyond all operations."""
    run_pack(study, pack)
    plain = run_pack(study, pack)
    with (
        _numpy_announced(),
        profile(
            activities=[ProfilerActivity.CPU], with_stack=True, experimental_config=_ExperimentalConfig(verbose=True)
        ) as profiled,
    ):
        run_pack(study, pack)
    nanos: Counter[str] = Counter()
    for event in profiled.events() or ():
        if event.name.startswith(_PREFIX):
            nanos[_NUMPY[event.name.removeprefix(_PREFIX)]] += round(1000 * event.self_cpu_time_total)
        elif event.name.startswith("aten::"):
            nanos[_purpose(event)] += round(1000 * event.self_cpu_time_total)
    nanos["Python and dispatch"] = max(0, round(1e9 * plain) - sum(nanos.values()))
    return nanos


@contextmanager
def _numpy_announced() -> Iterator[None]:
    with ExitStack() as functions:
        for name in _NUMPY:
            functions.enter_context(replaced(name, partial(_announced, name)))
        yield


def _announced(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def announced(*given: Any, **named: Any) -> Any:
        with record_function(_PREFIX + name):
            return function(*given, **named)

    return announced


def _purpose(event: Any) -> str:
    for frame in event.stack:  # innermost first
        for function, purpose in _BY_FUNCTION.items():
            if frame.endswith(f": {function}"):
                return purpose
        for path, purpose in _BY_FILE.items():
            if path in frame:
                return purpose
        if event.name in _PRODUCTS and "training/" in frame:
            return "matrix products"
        if event.name == _NORM and "training/network.py" in frame:
            return "norms"
    return "other operations"
