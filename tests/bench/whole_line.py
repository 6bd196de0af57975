"""The whole line: `gradstab run` and the peer, each from the start of its process until MLflow has the last trial."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from gradstab.record.segments import Record, read_segment, segment_paths
from gradstab.study.study import Study
from gradstab.tracking.shipping_files import load_state
from tests.bench.children import Finished, run_child, stored, with_database
from tests.bench.measure import Row
from tests.bench.same_networks import check_peer
from tests.bench.sizes import Sizes
from tests.bench.studies import SECOND, STUDY_T, changed, write_study

SECTION = "whole line"


@dataclass(frozen=True)
class PeerVariant:
    """How the peer is run: with MLflow or without, with warm actors or as people write it."""

    name: str
    mlflow: bool = True
    reuse_actors: bool = False


AS_WRITTEN = PeerVariant("peer, as people write it")
VARIANTS = (
    AS_WRITTEN,
    PeerVariant("peer, reuse_actors", reuse_actors=True),
    PeerVariant("peer, no MLflow", mlflow=False),
    PeerVariant("peer, no MLflow, reuse_actors", mlflow=False, reuse_actors=True),
)


@dataclass(frozen=True)
class PeerRun:
    """Trials a second from the start of Tune's loop on (its start-up is not charged), and metric rows a trial."""

    rate: float
    rows: float


@dataclass(frozen=True)
class OurRun:
    """One `gradstab run`.

    Attributes:
        rate: trials a second from process start until the process ended with everything in MLflow.
        rate_from_first: the same from the first trial in training.
        startup: seconds from process start to the first trial in training.
        shipper_cpu: CPU seconds a trial of the shipper while it ships; NaN where it was too quick to be seen.
    """

    rate: float
    rate_from_first: float
    startup: float
    rows: float
    shipper_cpu: float


class Place:
    """Folders of runs below one root, with an empty database to copy and caches that runs share."""

    def __init__(self, root: Path, empty_database: Path) -> None:
        self._root = root
        self._empty = empty_database
        self._runs = 0
        self.caches = root

    def new(self) -> tuple[Path, str]:
        """A new folder, and the URI of the empty MLflow database in it."""
        self._runs += 1
        folder = self._root / f"run{self._runs}"
        return folder, with_database(folder, self._empty)


def run_peer(place: Place, study: Study, trials: int, variant: PeerVariant) -> PeerRun:
    """Run the peer in a process of its own and check that it trained the study's networks."""
    folder, uri = place.new()
    out = folder / "peer.json"
    arguments = ["tests.bench.peer", "--study", study.name, "--width", str(study.recipe.width)]
    arguments += ["--trials", str(trials), "--out", str(out)]
    arguments += ["--uri", uri] if variant.mlflow else []
    arguments += ["--reuse-actors"] if variant.reuse_actors else []
    run_child(arguments, folder, place.caches)
    found = json.loads(out.read_text())
    check_peer(study, found["trials"])
    runs, rows = stored(uri)
    assert len(found["trials"]) == trials
    assert runs == (trials if variant.mlflow else 0), "MLflow must hold every trial of the peer"
    return PeerRun(trials / found["seconds"], rows / trials)


def run_ours(place: Place, study: Study, trials: int, *, engine: str = "ray", detail: str = "summary") -> OurRun:
    """`gradstab run` on all cores with the default storage, and MLflow on SQLite as the peer has it."""
    folder, uri = place.new()
    file = write_study(study, folder / "study.yaml", budget={"trials": trials}, tracking={"detail": detail})
    results = folder / study.name
    shipper = ShipperWatch(results)
    arguments = ["gradstab", "run", str(file), "--engine", engine, "--results", str(folder)]
    arguments.append("--no-report")  # the peer writes none
    finished = run_child(arguments, folder, place.caches, watch=shipper)
    records = [record for path in segment_paths(results) for record in read_segment(path)]
    runs, rows = stored(uri)
    assert len(records) == trials
    assert all(record.failure is None for record in records)
    assert runs == trials + 1, "MLflow must hold every trial, and the study's own run"
    return _our_run(finished, records, rows, shipper.cpu_per_trial())


def _our_run(finished: Finished, records: list[Record], rows: int, shipper_cpu: float) -> OurRun:
    first = min(record.started_ms for record in records) / 1000
    return OurRun(
        rate=len(records) / finished.seconds,
        rate_from_first=len(records) / (finished.end - first),
        startup=first - finished.begin,
        rows=rows / len(records),
        shipper_cpu=shipper_cpu,
    )


class ShipperWatch:
    """CPU seconds of a run's shipper against the trials it has shipped, seen from outside."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._shipper: psutil.Process | None = None
        self._seen: list[tuple[int, float]] = []  # trials shipped, CPU seconds

    def __call__(self, driver: int) -> None:
        try:
            self._shipper = self._shipper or self._found(driver)
            if self._shipper is not None:
                spent = self._shipper.cpu_times()
                self._seen.append((load_state(self._results).shipped, spent.user + spent.system))
        except psutil.Error:
            self._shipper = None

    def cpu_per_trial(self) -> float:
        """Slope from the first look with a trial shipped to the last: what starting up costs is not a trial's."""
        shipping = [seen for seen in self._seen if seen[0] > 0]
        if not shipping or shipping[-1][0] == shipping[0][0]:
            return float("nan")
        return (shipping[-1][1] - shipping[0][1]) / (shipping[-1][0] - shipping[0][0])

    @staticmethod
    def _found(driver: int) -> psutil.Process | None:
        children = psutil.Process(driver).children()
        return next((child for child in children if "gradstab.tracking.shipper" in child.cmdline()), None)


def whole_line(place: Place, sizes: Sizes) -> list[Row]:
    """Study T and the second study, peers and ours in turn."""
    peers: dict[PeerVariant, list[PeerRun]] = {variant: [] for variant in VARIANTS}
    ours: list[OurRun] = []
    full: list[OurRun] = []
    peer_second: list[PeerRun] = []
    ours_second: list[OurRun] = []
    for _ in range(sizes.rounds):
        for variant in VARIANTS:
            peers[variant].append(run_peer(place, STUDY_T, sizes.peer_trials, variant))
        ours.append(run_ours(place, STUDY_T, sizes.ours_trials))
        full.append(run_ours(place, STUDY_T, sizes.full_trials, detail="full"))
        peer_second.append(run_peer(place, SECOND, sizes.peer_second_trials, AS_WRITTEN))
        ours_second.append(run_ours(place, SECOND, sizes.second_trials))
    peer_rows = {variant: _peer_row(variant.name, runs, sizes.peer_trials) for variant, runs in peers.items()}
    written = peer_rows[AS_WRITTEN]
    second = _peer_row("second study: peer, as people write it", peer_second, sizes.peer_second_trials)
    goal = "100x, never below 50x"
    on_t = _our_rows("gradstab run", ours, sizes.ours_trials, written, goal)
    on_second = _our_rows(
        "second study: gradstab run", ours_second, sizes.second_trials, second, "70 % of T's ratio from process start"
    )
    shares = tuple(b / a for a, b in zip(on_t[0].ratios, on_second[0].ratios, strict=True))
    return [
        *peer_rows.values(),
        *on_t,
        *_our_rows("gradstab run, detail full", full, sizes.full_trials, written, ""),
        second,
        *on_second,
        Row(SECTION, "second study's ratio by T's", "", shares, goal=">= .7"),
        Row("driver", "shipper, CPU a trial", "ms", tuple(1000 * run.shipper_cpu for run in ours), goal="<= 40"),
    ]


def _peer_row(name: str, runs: list[PeerRun], trials: int) -> Row:
    note = f"{trials} trials a run, {runs[0].rows:.0f} metric rows a trial, clock from Tune's loop"
    return Row(SECTION, name, "trials/s", tuple(run.rate for run in runs), note=note)


def _our_rows(name: str, runs: list[OurRun], trials: int, peer: Row, goal: str) -> list[Row]:
    note = f"{trials} trials a run, {runs[0].rows:.0f} metric rows a trial"
    whole = Row(SECTION, f"{name}, from process start", "trials/s", tuple(run.rate for run in runs), note=note)
    first = Row(SECTION, f"{name}, from first trial", "trials/s", tuple(run.rate_from_first for run in runs), note=note)
    return [whole.to(peer, goal), first.to(peer)]


def startup(place: Place, sizes: Sizes) -> list[Row]:
    """`gradstab run` from the start of its process to the first trial in training."""
    seconds: dict[str, list[float]] = {"ray": [], "serial": []}
    for _ in range(sizes.rounds):
        for engine, found in seconds.items():
            found.append(run_ours(place, STUDY_T, 8, engine=engine).startup)
    goals = {"ray": "<= 6", "serial": "<= 3"}
    return [
        Row("start-up", f"gradstab run, {engine}, to the first trial", "s", tuple(found), goal=goals[engine])
        for engine, found in seconds.items()
    ]


def peer_widths(place: Place, sizes: Sizes) -> list[Row]:
    """The peer at other widths, per core: for the plot."""
    rows = []
    for width in sizes.peer_widths:
        run = run_peer(place, changed(STUDY_T, width=width), sizes.peer_second_trials, AS_WRITTEN)
        rows.append(Row("width", f"peer, width {width}", "trials/s a core", (run.rate / (os.cpu_count() or 1),)))
    return rows


Section = Callable[[Place, Sizes], list[Row]]
